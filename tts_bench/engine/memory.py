"""Free main memory: Linux would rather kill a process than refuse it memory."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Bytes that can still be taken, by the system and by the container's limit.

    None if neither tells (not Linux).
    """
    found = [_meminfo(meminfo), _container(cgroup)]
    return min((value for value in found if value is not None), default=None)


def gpu_memory() -> int | None:
    """Bytes of the smallest NVIDIA GPU, free or not; None if there is none to be asked.

    Asked without loading torch, which takes seconds.
    """
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10)
        return min(int(line) for line in done.stdout.split()) << 20
    return None


def _meminfo(path: Path) -> int | None:
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _container(folder: Path) -> int | None:
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.is_file() and used.is_file()):
        return None
    text = limit.read_text().strip()
    return None if text == "max" else max(0, int(text) - int(used.read_text()))
