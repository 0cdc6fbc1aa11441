"""The Ray that this process is connected to: found as it is, and left as it was found."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import os
import re
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tts_bench.errors import MissingExtra, ModelError, one_line, quoted

OBJECTS = 256 << 20
"""Bytes of the object store of a Ray that is started here: completions are small."""
REACHABLE_SECONDS = 10.0

_lock = threading.Lock()
_users = 0
_started_here = False


class RayCluster:
    """A connection to a Ray; engines of one process share it, and the last one ends it.

    It is ended only if it was begun here, and a Ray that runs elsewhere goes on.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._connected = False

    async def connect(self) -> None:
        """Connect, or start a Ray on this machine if there is no address.

        Raises MissingExtra if Ray is not installed, ModelError if it cannot be reached.
        """
        if importlib.util.find_spec("ray") is None:
            raise MissingExtra("Ray", "ray")
        # In a thread, for it takes seconds, in which a call may be cancelled.
        connecting = asyncio.create_task(asyncio.to_thread(_connect, self.address))
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await asyncio.wait([connecting])
            if not connecting.cancelled() and connecting.exception() is None:
                _disconnect()
            raise
        self._connected = True

    async def disconnect(self) -> None:
        """Let it go; a Ray that was started here ends."""
        if self._connected:
            self._connected = False
            await asyncio.to_thread(_disconnect)

    @property
    def is_fixed(self) -> bool:
        """Whether no machine can join it: it was started here, for this process."""
        return _started_here and self.address is None

    async def has_gpus(self) -> bool:
        """Whether any machine of it has a GPU, free or not."""
        import ray

        found = await asyncio.to_thread(ray.cluster_resources)
        return float(found.get("GPU", 0)) > 0

    async def room(self, bundle: Mapping[str, float], most_on_one: int | None = None) -> int:
        """How many bundles find room now, at most `most_on_one` on each machine."""
        return fitting(await asyncio.to_thread(_free), bundle, most_on_one)


def fitting(
    free: Iterable[Mapping[str, float]], bundle: Mapping[str, float], most_on_one: int | None
) -> int:
    """How many bundles fit into what is free on the machines.

    >>> fitting([{"GPU": 8, "CPU": 64}, {"CPU": 64}], {"GPU": 2, "CPU": 1}, None)
    4
    """
    found = 0
    for machine in free:
        # Ray counts in ten-thousandths, and a sum of such may fall short by less than that.
        shares = [machine.get(name, 0.0) / wanted + 1e-9 for name, wanted in bundle.items()]
        here = math.floor(min(shares))
        found += here if most_on_one is None else min(here, most_on_one)
    return found


def listed(bundle: Mapping[str, float]) -> str:
    """A bundle for a message.

    >>> listed({"GPU": 1.0, "CPU": 0.5})
    '1 GPU, 0.5 CPU'
    """
    return ", ".join(f"{count:g} {name}" for name, count in bundle.items())


_REASON = re.compile(r"is dead because (.+?)(?:\. | Worker exit|\.?$)", re.MULTILINE)

_UNAVAILABLE = re.compile(r"^The actor \w+ is unavailable")


def said(error: BaseException) -> str:
    r"""What Ray says, in one line: its reason if it names one, else the end of what it tells.

    >>> said(Exception("The actor died.\nThe actor is dead because its node has died. Node Id: 1"))
    'its node has died'
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if reason := _REASON.search(text):
        short = "OUT_OF_MEMORY" in text or "low on memory" in text
        return one_line(reason[1]) + (" (the machine is short of memory)" if short else "")
    if _UNAVAILABLE.search(text):
        return "its process or its machine cannot be reached"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return one_line((lines or [type(error).__name__])[-1])


def _connect(address: str | None) -> None:
    global _users, _started_here
    with _lock:
        if not _users:
            _started_here = _init(address)
        elif address not in (None, "auto"):
            _check_same(address)
        _users += 1


def _disconnect() -> None:
    global _users, _started_here
    import ray

    with _lock:
        _users -= 1
        if not _users and _started_here:
            _started_here = False
            ray.shutdown()


def _init(address: str | None) -> bool:
    """Whether the connection was begun here. Raises ModelError in one line."""
    # Ray reads it while it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        _check_same(address)
        return False
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        settings |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECTS,
        }
    else:
        _check_reachable(address)
        settings["address"] = address
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**settings)
    except Exception as error:
        raise ModelError(f"engine 'ray', address {address or 'null'}: {said(error)}") from error
    finally:
        # Ray puts a handler of its own in its place, if this is the main thread.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
    return True


def _check_same(address: str | None) -> None:
    """Raise ModelError if this process is connected to another Ray already."""
    import ray

    if address in (None, "auto"):
        return
    here = str(ray.get_runtime_context().gcs_address)
    if address != here:
        raise ModelError(
            f"engine 'ray', address {address}: this process is connected to the Ray at {here}"
        )


def check_address(address: str | None) -> tuple[str, int] | None:
    """Host and port, if the address names them. Raises ModelError for what is no address."""
    if address in (None, "auto"):
        return None
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in ("", "ray"):
        raise ModelError(
            f"engine 'ray': address {quoted(address)} is none of: auto, host:port, ray://host:port"
        )
    return host, port


def _check_reachable(address: str) -> None:
    """Raise ModelError if nobody listens there: Ray would try for a minute, and end the process."""
    place = check_address(address)
    try:
        if place is not None:
            socket.create_connection(place, REACHABLE_SECONDS).close()
    except OSError as error:
        why = error.strerror or error
        raise ModelError(f"engine 'ray': nobody answers at address {address} ({why})") from error


def _free() -> list[dict[str, float]]:
    """What is free on each machine."""
    import ray
    from ray._private.state import available_resources_per_node
    from ray.util.client import ray as client

    if client.is_connected():  # type: ignore[no-untyped-call]
        task = ray.remote(_free).options(num_cpus=0)
        found: list[dict[str, float]] = ray.get(task.remote())
        return found
    # Ray's public functions know what is free in all, but not on which machine.
    return list(available_resources_per_node().values())  # type: ignore[no-untyped-call]
