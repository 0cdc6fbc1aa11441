"""One right candidate among several: strictly highest, ties against, never by position."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest
import yaml
from parts import NOT_TO_BE_HAD

from tts_bench.errors import UsageError
from tts_bench.stats.ranking import rank_of_right
from tts_bench.types import Score
from tts_bench.verifier_eval.ranked import RankedScores, rank

ORACLE = str(Path(__file__).parents[1] / "plugins" / "oracle.py")
PUBLISHED = {"last": 88, "min": 74, "prod": 83, "mean": 73, "gmean": 76, "max": 19}


@pytest.fixture
def verify(tmp_path: Path, cli):
    def verify(rows: list[dict], *options: str, verifier: str = "recorded", suffix: str = "jsonl"):
        file = tmp_path / f"rows.{suffix}"
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        file.write_text(lines if suffix == "jsonl" else json.dumps(rows))
        output = ("--output", str(tmp_path / "out"), "--display", "none")
        return cli("verify", verifier, file, *output, *options)

    return verify


def won(folder: Path) -> dict[str, str]:
    """`strictly highest ...` -> `2 of 3 problems`."""
    metrics = json.loads((folder / "out" / "verify.json").read_text())["metrics"]
    return {one["metric"]: one["note"] for one in metrics if one["part_of"] is None}


STEPS = [
    # By the last step the right one wins; by the lowest it ties; by the mean it loses.
    {"id": "a", "correct": [False, True], "step_scores": [[0.2, 0.9, 0.5], [0.2, 0.3, 0.6]]},
    # Of the same numbers in another order, products and means tie whatever rounding does.
    {"id": "b", "correct": [True, False], "step_scores": [[0.1, 0.7, 0.3], [0.3, 0.7, 0.1]]},
]


def test_every_aggregate_of_recorded_steps_is_told_with_ties_against(verify, tmp_path):
    code, out, err = verify(STEPS)
    assert code == 0, err
    assert won(tmp_path) == {
        "strictly highest, by last": "2 of 2 problems",
        "strictly highest, by min": "0 of 2 problems",
        "strictly highest, by prod": "0 of 2 problems",
        "strictly highest, by mean": "0 of 2 problems",
        "strictly highest, by gmean": "0 of 2 problems",
        "strictly highest, by max": "0 of 2 problems",
    }
    assert "cost  not recorded" in out
    rows = [json.loads(one) for one in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert rows[1]["correct"] is True
    assert rows[1]["steps"] == [0.2, 0.3, 0.6]


def test_the_place_in_the_file_decides_nothing(verify, tmp_path):
    rng, rows = random.Random(3), []
    for i in range(30):
        scores = [[rng.choice((0.1, 0.5, 0.9)) for _ in range(2)] for _ in range(4)]
        rows.append({"id": i, "correct": [True, False, False, False], "step_scores": scores})
    verify(rows)
    first = won(tmp_path)
    for row in rows:
        order = rng.sample(range(4), 4)
        row |= {name: [row[name][j] for j in order] for name in ("correct", "step_scores")}
    verify(rows)
    assert won(tmp_path) == first


def test_the_benchmarks_own_result_files_are_read(verify, tmp_path):
    sources = ["human_to_GPT-4", "gemma", "phi"]
    rows = [
        {"problem": "1 + 1?", "solution_reference": sources, "score": [0.5, 0.4, 0.4]},
        {"problem": "1 + 2?", "solution_reference": sources, "score": [0.5, 0.5, 0.4]},
    ]
    assert verify(rows, "--right", "solution_reference=human_to_GPT-4", suffix="json")[0] == 0
    assert won(tmp_path) == {"strictly highest": "1 of 2 problems"}
    code, _, err = verify(rows, "--right", "solution_referense=human_to_GPT-4", suffix="json")
    assert code == 2
    assert "Did you mean 'solution_reference'" in err


@pytest.mark.parametrize(
    ("correct", "scores"),
    [
        ("[False, True]", "[[0.2, 0.9, 0.5], [0.2, 0.3, 0.6]]"),
        ("[False  True]", "[array([0.2, 0.9, 0.5]), array([0.2, 0.3, 0.6])]"),
        ("[false, true]", "[0.5, 0.6]"),
    ],
)
def test_lists_in_the_cells_of_a_csv_file_are_read(tmp_path, cli, correct, scores):
    file = tmp_path / "rows.csv"
    pd.DataFrame([{"id": "a", "correct": correct, "step_scores": scores}]).to_csv(file, index=False)
    code, _, err = cli("verify", "recorded", file, "-o", tmp_path / "out")
    assert code == 0, err
    assert next(iter(won(tmp_path).values())) == "1 of 1 problems"


def test_a_candidate_a_row_of_a_csv_file_is_read(tmp_path, cli):
    file = tmp_path / "rows.csv"
    file.write_text("problem_id,score,solution_type\n1,0.5,chosen\n1,0.25,rejected\n")
    assert cli("verify", "recorded", file, "-o", tmp_path / "out")[0] == 0
    assert won(tmp_path) == {"strictly highest": "1 of 1 problems"}


def test_an_imported_run_is_told_by_its_recorded_scores(tmp_path, cli):
    file = tmp_path / "pool.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in STEPS))
    options = ("--verdicts", "recorded", "-o", tmp_path / "r", "--name", "p")
    assert cli("import", file, *options)[0] == 0
    code, out, err = cli("verify", "recorded", tmp_path / "r" / "p", "-o", tmp_path / "out")
    assert code == 0, err
    found = won(tmp_path)
    assert found["strictly highest, as the run has them"] == "2 of 2 problems"
    assert found["strictly highest, by mean"] == "0 of 2 problems"
    assert "best of n, n=1" in out
    record = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert [at["value"] for at in record["selection"]["best"]] == [0.5, 1.0]


def test_a_run_without_scores_is_one_line(tmp_path, cli):
    file = tmp_path / "pool.jsonl"
    file.write_text(json.dumps({"id": 1, "correct": [True, False]}) + "\n")
    options = ("--verdicts", "recorded", "-o", tmp_path / "r", "--name", "p")
    assert cli("import", file, *options)[0] == 0
    code, _, err = cli("verify", "recorded", tmp_path / "r" / "p", "-o", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "no pool of candidates with scores" in err


def one_by_one() -> list[dict]:
    """As the benchmark itself is published: a row for each candidate, its text in steps."""
    texts = {
        "0": [["1 + 1 = 2 [0.9]", "so 2 [0.8]"], ["1 + 1 = 3 [0.9]", "so 3 [0.1]"]],
        "1": [["2 + 1 = 3 [0.4]", "so 3 [0.4]"], ["2 + 1 = 4 [0.9]", "so 4 [0.2]"]],
    }
    return [
        {
            "problem": f"problem {name}",
            "problem_id": int(name),
            "id": 2 * int(name) + i,
            "eval_solution": steps,
            "solution_type": "rejected" if i else "chosen",
        }
        for name, pair in texts.items()
        for i, steps in enumerate(pair)
    ]


def test_a_suites_verifier_scores_the_candidates_and_is_told_by_every_aggregate(verify, tmp_path):
    file = tmp_path / "v.yaml"
    file.write_text(yaml.safe_dump({"verifier": {"name": f"{ORACLE}:Written"}}))
    code, out, err = verify(one_by_one(), verifier=str(file), suffix="json")
    assert code == 0, err
    found = won(tmp_path)
    assert found["strictly highest, as the verifier scores"] == "2 of 2 problems"
    assert found["strictly highest, by max"] == "0 of 2 problems"
    assert found["strictly highest, by mean"] == "1 of 2 problems"
    assert "cost  4 calls" in out


def test_a_problem_of_which_a_candidate_has_no_score_is_left_out(verify, tmp_path):
    file = tmp_path / "v.yaml"
    block = {"name": f"{ORACLE}:Written", "fail_at": "so 4"}
    file.write_text(yaml.safe_dump({"verifier": block}))
    code, out, _ = verify(one_by_one(), verifier=str(file))
    assert code == 1
    assert won(tmp_path)["strictly highest, by last"] == "1 of 1 problems"
    assert "1 problems are left out: a candidate of them has no score" in out


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"correct": [True, True], "step_scores": [[1], [1]]}, "2 right of 2 candidates"),
        ({"correct": [False, False], "step_scores": [[1], [1]]}, "0 right of 2 candidates"),
        ({"correct": [True], "step_scores": [[1]]}, "1 right of 1 candidates"),
        ({"correct": [True, False], "step_scores": [[1]]}, "different lengths"),
        ({"correct": [True, "x"], "step_scores": [[1], [1]]}, "neither right nor wrong: 'x'"),
        ({"correct": [True, False], "step_scores": [[1], []]}, "step scores is empty"),
        ({"correct": [True, False], "step_scores": [[1], ["a"]]}, "a score is no number: 'a'"),
        ({"correct": [True, False], "step_scores": [[1], [None]]}, "a score is no number: None"),
        ({"correct": [True, False]}, "no recorded scores"),
    ],
)
def test_rows_of_another_form_are_one_line_with_their_place(verify, row, words):
    code, _, err = verify([{"id": "a", **row}])
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_texts_are_needed_for_a_verifier(verify, tmp_path):
    file = tmp_path / "v.yaml"
    file.write_text(yaml.safe_dump({"verifier": {"name": f"{ORACLE}:Written"}}))
    code, _, err = verify(STEPS, verifier=str(file))
    assert code == 2
    assert "no texts for a verifier to score" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "verifier.x=1"), "--set and --replay have no meaning"),
        (("--fit-on", "gsm8k"), "--fit-on and --neutral are for labelled steps"),
        (("--right", "correct"), "must be COLUMN=VALUE"),
    ],
)
def test_options_that_say_nothing_of_such_data_are_refused(verify, options, words):
    code, _, err = verify(STEPS, *options)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


def test_an_aggregate_that_is_not_defined_is_a_note():
    pair = (Score(0.1, (-0.5, 0.1)), Score(0.2, (0.1, 0.2)))
    done = rank([RankedScores("a", 1, pair)])
    assert any("no figure by gmean" in note for note in done.notes)
    assert "strictly highest, by prod" in {one.name for one in done.figures}
    with pytest.raises(UsageError, match="no problem"):
        rank([])


def test_a_rank_has_whatever_ties_before_it():
    assert rank_of_right([0.5, 0.9, 0.5], 1) == 1
    assert rank_of_right([0.5, 0.9, 0.5], 0) == 3
    assert rank_of_right([0.1 * 0.7 * 0.3, 0.3 * 0.7 * 0.1], 0) == 2
    assert rank_of_right([0.0, 0.0], 1) == 2
    assert rank_of_right([-5.0, -4.0], 1) == 1


def test_the_published_figures_of_math_shepherd_come_back(verify, shared_data, tmp_path):
    path = shared_data / "pools" / "rewardmath_Math_Shepherd.pool.jsonl"
    if not path.is_file():
        pytest.skip(f"{NOT_TO_BE_HAD}recorded step scores of RewardMATH")
    assert verify([json.loads(line) for line in path.read_text().splitlines()])[0] == 0
    assert won(tmp_path) == {
        f"strictly highest, by {how}": f"{count} of 483 problems"
        for how, count in PUBLISHED.items()
    }
