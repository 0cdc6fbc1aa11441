"""The shipped models, through the command line: a run, its replay, the gate, the verifiers."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

import tts_bench
from tts_bench.dataset.arithmetic import Arithmetic
from tts_bench.report.points.point import read_points
from tts_bench.steps import split_steps
from tts_bench.store.runs import resolve_run
from tts_bench.tiny.worked_arithmetic import Care, check_each_step, reference, write_solution

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(tts_bench.__file__).parent / "tiny"
REFERENCE = ROOT / "results" / "reference" / "ci"


@pytest.fixture
def command(cli, monkeypatch, tmp_path: Path):
    """Runs `tts-bench ...` in a folder that is no checkout; returns exit code and output."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        code, out, err = cli(*words)
        return code, out + err

    return run


@pytest.mark.parametrize("name", ["policy", "prm", "orm"])
def test_every_library_reads_the_tokenizer_that_was_trained_with(name):
    """By some model types transformers builds a tokenizer of its own from the same files."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    text = "<think>52 - 17 = 35\n\nWait, check: 52 - 17 = 35\n\n</think>\\boxed{35}"
    auto = AutoTokenizer.from_pretrained(TINY / name)
    fast = PreTrainedTokenizerFast.from_pretrained(TINY / name)
    assert auto(text).input_ids == fast(text).input_ids
    assert auto.decode(auto(text).input_ids) == text


def test_a_run_on_the_tiny_models_shows_what_a_verifier_is_worth(command, tmp_path):
    suite = ROOT / "suites" / "quickstart.yaml"
    words = ["--limit", 25, "--set", "strategies[3].n=[1,8]", "--set", "strategies[1].n=[8]"]
    chosen = [w for s in ("self_consistency", "best_of_n") for w in ("--strategy", s)]
    code, said = command("run", suite, *words, *chosen, "-o", tmp_path / "r", "--display", "none")
    assert code == 0, said
    run = read_points(resolve_run(tmp_path / "r" / "quickstart"))
    accuracy = {
        one.name.partition(" ")[0]: sum(one.values["accuracy"].values()) / 25 for one in run.points
    }
    assert 0.3 < accuracy["best_of_n@1"] < 0.8
    assert accuracy["best_of_n@8"] > accuracy["best_of_n@1"] + 0.15
    for attempt in run.run.attempts():
        for tokens, steps in zip(attempt.pool.tokens, attempt.pool.steps, strict=False):
            assert len(steps) < tokens
            assert all(0 <= step <= 1 for step in steps)


def test_recorded_generations_replay_to_the_committed_baseline(command, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(REFERENCE / "generations.sqlite", results)
    suite = ROOT / "suites" / "ci.yaml"
    code, said = command("run", suite, "--replay", "-o", results, "--display", "none")
    assert code == 0, said
    baseline, latest = REFERENCE / "baseline.json", results / "ci" / "latest"
    code, said = command("gate", latest, "--baseline", baseline, "--exact")
    assert code == 0, said
    changed = json.loads(baseline.read_text())
    key = next(iter(changed["attempts"]))
    changed["attempts"][key]["policy"]["completion_tokens"] += 1
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    code, said = command(
        "gate", latest, "--baseline", tmp_path / "changed.json", "--exact",
        "--junit", tmp_path / "gate.xml", "--markdown", tmp_path / "gate.md",
    )  # fmt: skip
    assert code == 3
    assert "completion_tokens" in said
    assert 'failures="1"' in (tmp_path / "gate.xml").read_text()
    assert "FAILED" in (tmp_path / "gate.md").read_text()
    code, said = command("gate", latest, "--baseline", baseline, "--margin", "0.01")
    assert code == 2
    assert "cannot see a margin of 1.0 points" in said
    code, said = command("compare", latest, latest, "--a", "best_of_n@8", "--b", "greedy")
    assert code == 0
    assert "best_of_n@8" in said


@pytest.mark.parametrize("name", ["prm", "orm"])
def test_the_reward_models_know_right_solutions_of_held_out_problems(command, tmp_path, name):
    rng, rows = random.Random(11), []
    for item in Arithmetic(problems=40, seed=4321).load():
        for k in range(2):
            text = write_solution(item.problem.text, Care(), rng)
            steps = split_steps(text)
            right = text.endswith(f"\\boxed{{{reference(item.problem.text)}}}")
            rows.append(
                {
                    "id": f"{item.problem.id}/{k}",
                    "problem_id": item.problem.id,
                    "prompt": item.problem.text,
                    "completions": steps,
                    "labels": check_each_step(item.problem.text, text),
                    "correct": right,
                }
            )
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    aggregate = ", aggregate: min" if name == "prm" else ""
    verifier = f"verifier: {{name: {name}, model: tts_bench/tiny/{name}{aggregate}}}\n"
    (tmp_path / "v.yaml").write_text(verifier)
    code, said = command("verify", "v.yaml", "data.jsonl", "--output", tmp_path / "out")
    assert code == 0, said
    found = json.loads((tmp_path / "out" / "verify.json").read_text())
    metrics = {row["metric"]: row["value"] for row in found["metrics"]}
    least = {"prm": 0.9, "orm": 0.7}[name]
    assert metrics["answer AUC"] > least
    if name == "prm":
        assert metrics["ProcessBench F1"] > 0.75


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_searches_adapt_and_force_on_vllm_with_both_models(command, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "dataset: {name: arithmetic, problems: 15}\n"
        "engine: {name: vllm, model: tts_bench/tiny/policy}\n"
        "verifier: {name: prm, model: tts_bench/tiny/prm, aggregate: min, backend: vllm}\n"
        "sampling: {max_tokens: 256}\n"
        "strategies:\n"
        "  - {strategy: beam_search, n: 4}\n"
        "  - {strategy: adaptive_best_of_n, n_medium: 8, n_hard: 8}\n"
        "  - {strategy: budget_forcing, waits: 1, wait: 'Wait, check: '}\n"
    )
    code, said = command("run", "s.yaml", "-o", "results", "--display", "none")
    assert code == 0, said
    run = resolve_run(tmp_path / "results" / "s")
    correct: dict[str, int] = {}
    for attempt in run.attempts():
        strategy = attempt.cell.partition("?")[0]
        correct[strategy] = correct.get(strategy, 0) + attempt.correct
        if strategy == "beam_search":
            assert attempt.tree is not None
            assert attempt.verifier.requests > 0
        if strategy == "budget_forcing" and attempt.pool.text:
            assert "Wait, check: " in str(attempt.pool.text[0])
    assert set(correct) == {"beam_search", "adaptive_best_of_n", "budget_forcing"}
    assert correct["beam_search"] >= 10
