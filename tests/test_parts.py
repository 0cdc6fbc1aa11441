"""A test session with CI=true fails for what it skipped; elsewhere a skip is a skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
PASSES = "def test_passes():\n    pass\n"
SKIPS = (
    "import pytest\n"
    "@pytest.fixture(scope='session')\n"
    "def browser():\n"
    "    pytest.skip('no chromium')\n"
    "def test_page(browser):\n"
    "    pass\n"
    "def test_other_page(browser):\n"
    "    pass\n"
)
NO_MODULE = "import pytest\npytest.importorskip('no_such_module', reason='no such module')\n"
ABSENT = (
    "import pytest\n"
    "from parts import NOT_TO_BE_HAD\n"
    "@pytest.mark.skipif(True, reason=NOT_TO_BE_HAD + '/dev/full')\n"
    "def test_disk():\n"
    "    pass\n"
)


def session(folder: Path, source: str, *options: str, **environment: str):
    (folder / "test_one.py").write_text(PASSES)
    (folder / "test_two.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = vllm\n    slow\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    kept.pop("CI", None)
    kept |= {"PYTHONPATH": str(SUPPORT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "parts", *options],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_skip_fails_the_session_in_ci(tmp_path: Path, workers: str):
    done = session(tmp_path, SKIPS, "-n", workers, CI="true")
    assert done.returncode == 1
    assert "2 for want of a part: no chromium" in done.stdout
    *_, last = done.stdout.splitlines()
    assert "1 passed, 2 skipped" in last


def test_so_does_a_file_that_is_skipped_whole(tmp_path: Path):
    done = session(tmp_path, NO_MODULE, CI="true")
    assert done.returncode == 1
    assert "1 for want of a part: no such module" in done.stdout


@pytest.mark.parametrize(
    ("source", "environment"),
    [(SKIPS, {}), (SKIPS, {"CI": "false"}), (PASSES, {"CI": "true"}), (ABSENT, {"CI": "true"})],
)
def test_elsewhere_or_without_a_skip_it_passes(tmp_path: Path, source: str, environment):
    done = session(tmp_path, source, **environment)
    assert done.returncode == 0
    assert "for want of a part" not in done.stdout


def test_what_failed_is_told_by_its_own_exit_code(tmp_path: Path):
    done = session(tmp_path, SKIPS + "def test_broken():\n    assert False\n", CI="true")
    assert done.returncode == 1
    assert "1 failed, 1 passed, 2 skipped" in done.stdout


def test_files_stay_whole_and_all_of_vllm_is_on_one_worker(tmp_path: Path):
    marked = "import pytest\n@pytest.mark.vllm\ndef test_vllm():\n    pass\n"
    (tmp_path / "test_three.py").write_text(marked + PASSES)
    done = session(tmp_path, marked + PASSES, "-n", "2", "-v")
    where: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("[gw"):
            worker, name = line.split()[0], line.split()[-1]
            where.setdefault("vllm" if "vllm" in name else name[:12], set()).add(worker)
    assert set(where) == {"vllm", "test_one.py:", "test_two.py:", "test_three.p"}
    assert all(len(workers) == 1 for workers in where.values())


def test_a_test_of_vllm_is_called_so(tmp_path: Path):
    marked = "import pytest\n@pytest.mark.vllm\ndef test_engine():\n    pass\n"
    done = session(tmp_path, marked)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_two.py::test_engine: tests of vLLM have vllm in their names" in done.stderr
