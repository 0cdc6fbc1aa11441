from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tts_bench.store import environment


def test_versions_hardware_and_commit_are_told():
    told = environment.describe()
    assert told.packages["numpy"]
    assert told.cpu["count"] >= 1
    json.dumps(told.recorded())  # goes into the manifest


def test_the_commit_is_that_of_the_package_and_not_of_a_repository_around_it(tmp_path: Path):
    package = tmp_path / "env" / "site-packages" / "tts_bench"
    package.mkdir(parents=True)
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    assert environment._git(package) is None
    (package.parent / "pyproject.toml").touch()
    found = environment._git(package)
    assert found is not None
    assert len(found.commit) == 40
    assert found.dirty is False
