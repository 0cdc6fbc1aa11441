"""Model servers as processes on this machine, started and stopped by tests."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
"""Longer than a server needs to start on a busy machine."""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class ServerProcess(abc.ABC):
    """A server of one model, in a process group of its own; it can be launched again."""

    environment: ClassVar[Mapping[str, str]] = {}
    port: int = field(default_factory=free_port, kw_only=True)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @abc.abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def launch(self) -> None:
        """Begin to start it; see `wait`."""
        self._process = subprocess.Popen(
            self.command(),
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Return when it answers."""
        assert self._process is not None
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self._process.poll() is None, "the server ended while it started"
            if self.is_well():
                return
            time.sleep(0.25)
        raise TimeoutError(f"no answer from {self.url}")

    def is_well(self) -> bool:
        """Whether it answers, with its model loaded."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        """End it at once, with its engine."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def serving(*servers: ServerProcess) -> Iterator[list[str]]:
    """The servers started side by side, and their URLs."""
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
        yield [server.url for server in servers]
    finally:
        for server in servers:
            server.kill()
