"""`tts-bench verify` from end to end, on scripted verifiers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).parents[1] / "plugins"
ORACLE = str(PLUGINS / "oracle.py")
RIGHT = ["1 + 1 = 2 [0.9]", "2 + 1 = 3 [0.8]"]
WRONG = ["1 + 1 = 2 [0.9]", "2 + 1 = 4 [0.1]"]


@pytest.fixture
def files(tmp_path: Path):
    """Labelled solutions of ten problems, every second one wrong; and a verifier's file."""
    rows = [
        {
            "id": f"s{i}",
            "problem": f"problem {i}",
            "steps": WRONG if i % 2 else RIGHT,
            "label": 1 if i % 2 else -1,
            "final_answer_correct": i % 2 == 0,
        }
        for i in range(10)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "v.yaml").write_text(yaml.safe_dump({"verifier": {"name": f"{ORACLE}:Written"}}))
    return tmp_path


@pytest.fixture
def verify(files: Path, cli, monkeypatch):
    monkeypatch.setenv("ORACLE_LOG", str(files / "log"))

    def verify(*options: str, data: str = "rows.jsonl", verifier: str = "v.yaml"):
        output = ["--output", str(files / "out" / "x"), "--resamples", "50", "--display", "none"]
        return cli("verify", files / verifier, files / data, *output, *options)

    return verify


def asked(files: Path) -> int:
    return len((files / "log").read_text().splitlines()) if (files / "log").exists() else 0


def record(files: Path) -> dict:
    return json.loads((files / "out" / "x" / "verify.json").read_text())


def figure(files: Path, name: str, part_of: str | None = None) -> dict:
    [found] = [
        one
        for one in record(files)["metrics"]
        if (one["metric"], one["part_of"]) == (name, part_of)
    ]
    return found


def test_labelled_steps_give_figures_files_and_costs(verify, files: Path):
    code, out, _ = verify("--threshold", "0.5")
    assert code == 0
    assert out.startswith("some/prm on rows.jsonl")
    assert "ProcessBench F1            1.000 [0.722, 1.000]" in out
    assert "cost  10 calls" in out
    for name in ("verify.json", "scores.jsonl", "reliability.png", "reliability.svg"):
        assert (files / "out" / "x" / name).stat().st_size > 0
    assert figure(files, "ProcessBench F1")["value"] == 1.0
    assert figure(files, "within a solution", "step AUC")["n"] == 5
    # Letters are tokens: `1 + 1 = 2 [0.9]`, a blank line, `2 + 1 = 3 [0.8]`.
    assert record(files)["spent"]["prompt_tokens"] == 10 * (15 + 2 + 15)
    rows = [json.loads(row) for row in (files / "out/x/scores.jsonl").read_text().splitlines()]
    assert rows[1] == {
        "id": "s1",
        "problem": rows[1]["problem"],
        "labels": [True, False],
        "first_error": 1,
        "correct": False,
        "score": 0.1,
        "steps": [0.9, 0.1],
    }


def test_the_same_command_again_scores_nothing_and_says_the_same(verify, files: Path):
    _, first, _ = verify("--threshold", "0.5")
    before, figures = asked(files), record(files)["metrics"]
    # Equal texts of two problems are two scores: five solutions of either kind, ten problems.
    assert before == 10
    _, again, _ = verify("--threshold", "0.5")
    assert asked(files) == before
    assert record(files)["metrics"] == figures
    assert again.splitlines()[:12] == first.splitlines()[:12]
    assert verify("--threshold", "0.5", "--replay")[0] == 0
    assert asked(files) == before


def test_what_was_scored_before_a_stop_is_not_scored_again(verify, files: Path):
    verify("--threshold", "0.5", "--limit", "4")
    assert asked(files) == 4
    verify("--threshold", "0.5")
    assert asked(files) == 10


def test_replay_of_what_was_never_scored_is_an_error(verify, files: Path):
    verify("--threshold", "0.5", "--limit", "4")
    code, _, errors = verify("--threshold", "0.5", "--replay")
    assert code == 2
    assert "a score was never recorded; the same command without --replay" in errors
    assert len(errors.splitlines()) == 1


def test_a_text_at_which_the_verifier_fails_is_counted_and_ends_with_1(verify, files: Path):
    code, out, _ = verify("--threshold", "0.5", "--set", "verifier.fail_at='2 + 1 = 4'")
    assert code == 1
    assert "5 texts were not scored and are left out; the first: s1: too long" in out
    assert len(record(files)["failures"]) == 5
    code, _, errors = verify("--set", "verifier.fail_at='1 + 1'")
    assert code == 2
    assert errors == "error: the verifier failed at every text; the first: s0: too long\n"


def test_a_verifier_of_whole_solutions_gets_what_can_be_given(verify, files: Path):
    code, out, _ = verify("--set", "verifier.stepwise=false")
    assert code == 0
    assert "note  the verifier gives no step scores" in out
    assert figure(files, "answer AUC")["value"] == 1.0


def test_scores_that_do_not_match_the_steps_are_told(verify):
    code, out, _ = verify("--set", "verifier.lose=1")
    assert code == 0
    assert "10 of 10 solutions have more or fewer step scores than steps" in out


def test_json_is_what_is_written(verify, files: Path):
    _, out, _ = verify("--threshold", "0.5", "--json")
    assert json.loads(out) == record(files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "steps"], "--column steps: must be ROLE=NAME"),
        (["--column", "step=a"], "no role 'step'"),
        (["--threshold", "nan"], "--threshold nan: must be a finite number"),
        (["--fit-share", "2"], "--fit-share 2.0: must lie between 0 and 1"),
        (["--set", "verifier.delimitr=x"], "unknown key 'delimitr'. Did you mean 'delimiter'?"),
        (["--set", "verifer.delimiter=x"], "unknown key 'verifer'. Did you mean 'verifier'?"),
        (["--set", "verifier=confidence"], "confidence reads the log-probabilities"),
        (["--set", f"verifier.name='{ORACLE}:AsksPolicy'"], "name it in an `engine:` block"),
    ],
)
def test_a_mistake_is_one_line_and_ends_with_2(verify, options, message):
    code, _, errors = verify(*options)
    assert code == 2
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("option", ["--split", "--config", "--revision"])
def test_an_option_of_the_hub_beside_a_file_is_refused(verify, files: Path, option):
    code, _, errors = verify(option, "train")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"error: {option} has no meaning for {files / 'rows.jsonl'}, which is a file" in errors
    assert asked(files) == 0


def test_a_folder_of_neither_kind_is_told_what_it_lacks(verify, files: Path):
    (files / "suite" / "run-1").mkdir(parents=True)
    code, _, errors = verify(data="suite")
    assert (code, errors.count("\n")) == (2, 1)
    assert "suite: neither a run (no manifest.json) nor a data set (no .jsonl, .json" in errors
    (files / "suite" / "run-1" / "manifest.json").write_text("{}")
    code, _, errors = verify(data="suite")
    assert (code, errors.count("\n")) == (2, 1)
    assert "suite: no run, but it holds runs; name one, as in" in errors
    assert errors.endswith("suite/run-1\n")
    (files / "torn").mkdir()
    (files / "torn" / "attempts.jsonl").write_text("{}\n")
    code, _, errors = verify(data="torn")
    assert (code, errors.count("\n")) == (2, 1)
    assert "torn: a run without its manifest.json" in errors


def test_settings_without_the_key_of_their_block_are_told_where_they_belong(verify, files: Path):
    for block in ({"name": "prm", "model": "m"}, {"name": f"{ORACLE}:Written"}, {"model": "m"}):
        (files / "bare.yaml").write_text(yaml.safe_dump(block))
        code, _, errors = verify(verifier="bare.yaml")
        assert (code, errors.count("\n")) == (2, 1)
        assert "bare.yaml: a verifier's settings; put them under the key `verifier:`" in errors
    assert asked(files) == 0


def test_a_folder_with_the_files_of_a_data_set_is_read(verify, files: Path):
    (files / "set").mkdir()
    (files / "set" / "test.jsonl").write_text((files / "rows.jsonl").read_text())
    assert verify("--threshold", "0.5", "--split", "test", data="set")[0] == 0
    assert figure(files, "ProcessBench F1")["value"] == 1.0


def test_figures_of_one_problem_have_no_interval(verify, files: Path):
    rows = [json.loads(line) for line in (files / "rows.jsonl").read_text().splitlines()[:2]]
    same = [{**row, "problem": "the same"} for row in rows]
    (files / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in same))
    code, out, _ = verify("--threshold", "0.5", data="one.jsonl")
    assert code == 0
    assert "answer Brier               0.025 [n/a] " in out
    assert "ProcessBench F1            1.000 [0.207, 1.000]" in out  # Wilson's for one problem
    assert out.count("note  n/a: intervals are over problems, and one problem does not") == 1
    found = figure(files, "answer Brier")
    # Scores 0.8 (right) and 0.1 (wrong): (0.2² + 0.1²) / 2.
    assert found["value"] == pytest.approx(0.025)
    assert found["stderr"] is None
    assert "ci95" not in found
    assert "NaN" not in (files / "out" / "x" / "verify.json").read_text()


def test_files_that_hold_nothing_are_one_line(verify, files: Path):
    (files / "empty.jsonl").write_text("")
    (files / "no.yaml").write_text("engine: {name: transformers, model: m}\n")
    code, _, errors = verify(data="empty.jsonl")
    assert (code, errors.count("\n")) == (2, 1)
    assert "empty.jsonl is empty" in errors
    code, _, errors = verify(verifier="no.yaml")
    assert (code, errors.count("\n")) == (2, 1)
    assert "missing key 'verifier'" in errors


def test_a_verifier_that_asks_the_policy_is_given_the_engine_of_its_file(verify, files: Path):
    block = {
        "verifier": {"name": f"{ORACLE}:AsksPolicy"},
        "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    }
    (files / "asks.yaml").write_text(yaml.safe_dump(block))
    assert verify("--threshold", "0.5", verifier="asks.yaml")[0] == 0
    assert record(files)["verifier"]["model"]["engine"] == "scripted"
    assert figure(files, "answer AUC")["value"] == 0.5
