"""The large public pools: small files of the same columns give figures that are known by hand.

Columns as of November 2026; docs/published.md has the commands for the data sets themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tts_bench.report.conventions.rows import tool_rows
from tts_bench.report.conventions.tools import TOOLS
from tts_bench.report.points.coverage import make_curves
from tts_bench.report.points.point import read_points
from tts_bench.store.runs import resolve_run


@pytest.fixture
def bench(tmp_path: Path, cli):
    """Import rows as a parquet file, as the hub has them; returns what was said and the points."""

    def bench(rows: list[dict[str, Any]], *options: str, name: str = "p") -> Any:
        file = tmp_path / f"{name}.parquet"
        pd.DataFrame(rows).to_parquet(file)
        code, out, err = cli("import", file, "-o", tmp_path / "r", *options)
        assert code == 0, err
        return " ".join(out.split()), read_points(resolve_run(tmp_path / "r" / name))

    return bench


def accuracy(found: Any, name: str) -> float:
    return next(one.accuracy.value for one in found.points if one.name == name)


def coverage(found: Any) -> dict[int, float]:
    [curve] = make_curves(found.scope, found.outcomes)
    return {at.k: at.coverage.value for at in curve.points}


def test_monkey_business_by_its_verdicts(bench):
    """ScalingIntelligence/monkey_business: thousands of `samples` a row, and `is_corrects`."""
    rows = [
        {
            "question": f"What is {i} + 1?",
            "samples": [f"So the answer is {i + 1 + (j % 4 != 0)}." for j in range(8)],
            "is_corrects": [j % 4 == 0 for j in range(8)],
            "gt_answer": str(i + 1),
            "orig_dset_idx": i,
        }
        for i in range(2)
    ]
    _, found = bench(rows, "--verdicts", "recorded", "--n", "1,2,8")
    # Two of eight are right.
    assert coverage(found)[1] == pytest.approx(0.25)
    assert coverage(found)[2] == pytest.approx(1 - 15 / 28)
    assert coverage(found)[8] == 1
    assert accuracy(found, "self_consistency@8") == 0


BEST_OF_N = [
    {
        "problem": "What is 1 + 1?",
        "solution": "It is \\boxed{2}.",
        "answer": "2",
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/algebra/1.json",
        "completions": ["\\boxed{3}", "\\boxed{2}", "\\boxed{2}", "\\boxed{3}"],
        "scores": [[0.9, 0.2], [0.4, 0.7], [0.3], [0.8, 0.9, 0.1]],
        "pred": "\\boxed{2}",
        "completion_tokens": [10, 20, 30, 40],
        "agg_scores": [0.2, 0.7, 0.3, 0.1],
        "pred_weighted@1": "\\boxed{3}",
        "pred_maj@1": "\\boxed{3}",
        "pred_naive@1": "\\boxed{3}",
        "pred_weighted@2": "\\boxed{2}",
        "pred_maj@2": "\\boxed{3}",
        "pred_naive@2": "\\boxed{2}",
        "pred_weighted@4": "\\boxed{2}",
        "pred_maj@4": "\\boxed{3}",
        "pred_naive@4": "\\boxed{2}",
    }
]
"""As HuggingFaceH4's best-of-N completions: ragged step scores, and what each rule predicts."""


def test_best_of_n_completions_give_the_predictions_beside_them(bench):
    _, found = bench(BEST_OF_N, "--n", "1,2,4")
    rows = {row.name: row.value for row in tool_rows(found.run, TOOLS["search-and-learn"]).rows}
    for rule in ("pred_weighted", "pred_maj", "pred_naive"):
        for n in (1, 2, 4):
            right = BEST_OF_N[0][f"{rule}@{n}"] == "\\boxed{2}"
            assert rows[f"{rule}@{n}"] == right, (rule, n)
    assert found.scope.levels == {"test/algebra/1.json": 2}
    [point] = [one for one in found.points if one.name == "best_of_n@4"]
    assert point.policy.completion_tokens == 100


@pytest.mark.parametrize("method", ["beam-search", "DVTS"])
def test_texts_of_a_search_are_refused_as_draws(tmp_path, cli, method):
    name = f"Llama-3.2-1B-Instruct-{method}-completions"
    file = tmp_path / f"{name}.parquet"
    pd.DataFrame(BEST_OF_N).to_parquet(file)
    code, _, err = cli("import", file, "-o", tmp_path / "r")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "no independent draws" in err
    code, _, err = cli("import", file, "-o", tmp_path / "r", "--not-independent")
    assert code == 0, err


def matharena() -> list[dict[str, Any]]:
    """MathArena's outputs: a row for each text, which is called `answer`, of several models."""
    return [
        {
            "problem_idx": problem,
            "problem": f"What is {problem} + 1?",
            "model_name": model,
            "idx_answer": i,
            "answer": f"<think>{'hm' * i}</think> It is \\boxed{{{problem + right}}}.",
            "gold_answer": str(problem + 1),
            "parsed_answer": str(problem + right),
            "correct": bool(right),
            "output_tokens": 100 * (i + 1),
            "cost": 0.01,
        }
        for problem in (1, 2)
        for model, pattern in (("a", (1, 1, 0, 1)), ("b", (0, 0, 0, 1)))
        for i, right in enumerate(pattern)
    ]


@pytest.mark.parametrize(("model", "average", "majority"), [("a", 0.75, 1.0), ("b", 0.25, 0.0)])
@pytest.mark.parametrize("options", [(), ("--answers", "recorded", "--verdicts", "recorded")])
def test_matharena_by_model(bench, model, average, majority, options):
    _, found = bench(matharena(), "--where", f"model_name={model}", *options)
    assert coverage(found)[1] == pytest.approx(average)
    assert accuracy(found, "self_consistency@4") == majority
    rows = {row.name: row.value for row in tool_rows(found.run, TOOLS["lighteval"]).rows}
    assert rows["avg@n:n=4"] == pytest.approx(average)
    assert found.points[-1].policy.completion_tokens == 1000


def test_several_models_of_matharena_are_no_one_pool(tmp_path, cli):
    file = tmp_path / "outputs.parquet"
    pd.DataFrame(matharena()).to_parquet(file)
    code, _, err = cli("import", file, "-o", tmp_path / "r")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "--where model_name=" in err


def test_openr1_math_is_said_to_be_selected(bench):
    """open-r1/OpenR1-Math-220k: two to four generations, one right at least, some cut off."""
    rows = [
        {
            "problem": f"What is {i} + 1?",
            "solution": f"So \\boxed{{{i + 1}}}.",
            "answer": str(i + 1),
            "problem_type": "Algebra",
            "source": "olympiads",
            "uuid": f"u{i}",
            "is_reasoning_complete": [True, i != 0],
            "generations": [
                f"<think>so</think> \\boxed{{{i + 1}}}",
                "<think>so I think" if i == 0 else "<think></think> \\boxed{9}",
            ],
            "correctness_math_verify": [True, False],
            "finish_reasons": None if i else ["stop", "length"],
            "correctness_count": 1,
        }
        for i in range(2)
    ]
    said, found = bench(rows)
    assert "if the problems were selected" in said
    assert coverage(found) == {1: 0.5, 2: 1.0}
    assert set(found.scope.problems) == {"u0", "u1"}


def test_solutions_with_scores_are_weighted_as_beside_them(bench):
    """cmpatino/math500-bon-weighted-results: three selectors, each with its own verdict."""
    rows = [
        {
            "unique_id": "a",
            "problem": "What is 1 + 1?",
            "ground_truth_answer": "2",
            "sampled_solutions": ["\\boxed{2}", "\\boxed{2}", "\\boxed{3}"],
            "sampled_prm_scores": [0.3, 0.3, 0.5],
            "bon_weighted_correct": True,
            "bon_standard_correct": False,
            "bon_majority_correct": True,
        }
    ]
    _, found = bench(rows)
    assert accuracy(found, "weighted_vote@3") == rows[0]["bon_weighted_correct"]
    assert accuracy(found, "best_of_n@3") == rows[0]["bon_standard_correct"]
    assert accuracy(found, "self_consistency@3") == rows[0]["bon_majority_correct"]


def test_wide_columns_are_a_pool(bench):
    """aimosprite/imo-answerbench-rollouts: `rollout_1` ... and `correct_1` ..."""
    row: dict[str, Any] = {"problem": "What is 1 + 1?", "answer": "2"}
    for i, right in enumerate((True, False, True), start=1):
        row |= {f"rollout_{i}": f"\\boxed{{{2 if right else 3}}}", f"correct_{i}": right}
    _, found = bench([row], "--verdicts", "recorded")
    assert coverage(found)[1] == pytest.approx(2 / 3)
    assert accuracy(found, "self_consistency@3") == 1
