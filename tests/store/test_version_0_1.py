"""A run that version 0.1 recorded: reported, compared, replayed, continued and repeated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Done

from tts_bench.store.runs import RunStore

RECORDED = Path(__file__).parents[1] / "data" / "version_0_1"
NAME = "2026-11-27T17-51-04Z_fc42"
FOLDER = Path("results", "small", NAME)
_SAID = (
    "cell",
    "strategy",
    "params",
    "sampling",
    "selector",
    "n",
    "problems",
    "policy",
    "verifier",
)
"""What a report says of a point whatever its intervals are."""
COMMAND = ("small.yaml", "--include-path", "strategies", "--display", "plain")


@pytest.fixture
def tts_bench(tmp_path: Path, monkeypatch, cli) -> Callable[..., Done]:
    """Runs a command beside a copy of what was recorded, and wants it to succeed."""
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def tts_bench(*words: object) -> Done:
        done = cli(*words)
        assert done.returncode == 0, done.stderr
        return done

    return tts_bench


def attempts(folder: Path) -> list[str]:
    """The attempts as they stand in the file, in an order that does not depend on timing."""
    return sorted((folder / "attempts.jsonl").read_text().splitlines())


def others() -> list[Path]:
    """Folders of runs that were made beside the recorded one."""
    return [path for path in Path("results/small").glob("*Z_*") if path.name != NAME]


def _known(now: Any, then: Any) -> Any:
    """What version 0.1 knew of: later ones say more of a cost."""
    return {key: now[key] for key in then} if isinstance(then, dict) else now


def test_its_report_says_what_it_said_then(tts_bench):
    before = json.loads((FOLDER / "summary.json").read_text())
    tts_bench("report", FOLDER)
    after = json.loads((FOLDER / "summary.json").read_text())
    for key in ("run", "suite", "status", "model", "dataset", "attempts", "attempts_expected"):
        assert after[key] == before[key], key
    assert len(after["points"]) == len(before["points"]) == 8
    for now, then in zip(after["points"], before["points"], strict=True):
        assert [_known(now[key], then[key]) for key in _SAID] == [then[key] for key in _SAID]
        assert [one["value"] for one in now["metrics"]] == [one["value"] for one in then["metrics"]]
    assert "Compute 29 - 24." in (FOLDER / "report.html").read_text()


def test_it_compares_with_itself_and_with_a_replay(tts_bench):
    said = tts_bench("compare", FOLDER, FOLDER).stdout
    assert "my_beam_search@4" in said
    tts_bench("run", FOLDER / "manifest.json", "--replay", "--display", "plain")
    [replayed] = others()
    again = tts_bench("compare", FOLDER, replayed).stdout
    assert again.replace(replayed.name, NAME) == said


def test_a_replay_needs_no_model_and_gives_the_same_attempts(tts_bench, monkeypatch):
    monkeypatch.setattr("tts_bench.engine.transformers.TransformersEngine.start", _refuse)
    monkeypatch.setattr("tts_bench.verifier.prm.ProcessRewardModel.start", _refuse)
    tts_bench("run", FOLDER / "manifest.json", "--replay", "--display", "plain")
    [replayed] = others()
    assert attempts(replayed) == attempts(FOLDER)
    manifest = RunStore(replayed).read_manifest()
    assert manifest.throughput is not None
    assert manifest.throughput.generated_tokens == 0
    assert manifest.repeats is not None
    assert manifest.repeats.run == NAME


async def _refuse(*_: object) -> None:
    raise AssertionError("a replay loads no model")


@pytest.mark.parametrize("how", ["replay", "models"])
def test_the_same_command_finishes_it_from_the_store(tts_bench, how: str, monkeypatch):
    packages = RunStore(FOLDER).read_manifest().environment.packages
    # Another version of the library may draw otherwise, and is refused; this is not about that.
    monkeypatch.setattr("transformers.__version__", packages["transformers"])
    whole = attempts(FOLDER)
    path = FOLDER / "attempts.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:40])  # killed while it wrote the sixth
    tts_bench("run", *COMMAND, *(["--replay"] if how == "replay" else []))
    assert others() == []
    assert attempts(FOLDER) == whole
    manifest = RunStore(FOLDER).read_manifest()
    assert manifest.status == "complete"
    assert [one.status for one in manifest.earlier_sessions] == ["complete"]
    assert manifest.throughput is not None
    assert manifest.throughput.generated_tokens == 0
    assert manifest.throughput.requests_from_store > 0


def test_a_whole_run_is_left_as_it_is(tts_bench):
    before = (FOLDER / "manifest.json").read_bytes(), (FOLDER / "attempts.jsonl").read_bytes()
    tts_bench("run", *COMMAND)
    assert others() == []
    assert (FOLDER / "attempts.jsonl").read_bytes() == before[1]
    assert json.loads((FOLDER / "manifest.json").read_bytes()) == json.loads(before[0])
