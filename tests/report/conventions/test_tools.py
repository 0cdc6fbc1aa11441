"""A run's rows as other tools print them, and what they say of the difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from parts import NOT_TO_BE_HAD

from tts_bench.errors import UsageError
from tts_bench.report.conventions.rows import tool_rows
from tts_bench.report.conventions.text import tool_text
from tts_bench.report.conventions.tools import TOOLS, read_tool
from tts_bench.report.points.content import build_report
from tts_bench.report.tables.rows import make_rows
from tts_bench.types import Pool

PUBLISHED = {
    "pass@1": 71.4286,
    "pass@2": 80.9524,
    "pass@3": 85.7143,
    "pass@1[avg-of-2]": 78.5714,
    "majority@2": 78.5714,
    "majority@3": 76.1905,
    "rm_best@1": 71.4286,
    "rm_best@2": 71.4286,
    "rm_best@3": 57.1429,
    "rm_majority@1": 71.4286,
    "rm_majority@2": 71.4286,
    "rm_majority@3": 71.4286,
}


def scored_run(make, pools, **manifest):
    """A run of flat cells that share these pools: answers, right answer, scores, maybe verdicts."""
    size = len(pools[0][0])
    cells = [
        make.cell("best_of_n", [1, size], "best"),
        make.cell("self_consistency", [1, size], "majority"),
        make.cell("weighted_vote", [1, size], "weighted"),
    ]
    attempts = []
    for i, (answers, right, scores, *verdicts) in enumerate(pools):
        graded = {"correct": tuple(verdicts[0])} if verdicts else {}
        for one in cells:
            made = make.pool(answers, right, score=scores, **graded)
            attempts.append(make.attempt(one["id"], f"p{i}", made))
    return make.run(cells, attempts, **manifest)


FIGURES = Path(__file__).parents[2] / "data" / "tool_figures.jsonl"
"""Pools, and what the tools' own code makes of them, in per cent.

The right answer is 1, unless verdicts say otherwise.
"""

TWO = [
    (["2", "1", "1", None], "1", (0.9, 0.8, 0.3, 1.0)),
    (["3", "4", "4", "3"], "4", (0.5, 0.2, 0.2, 0.1)),
]


def values(run, *convention):
    return {
        row.name: round(100 * row.value, 4) for row in tool_rows(run, read_tool(convention)).rows
    }


def test_nemo_skills_takes_the_first_k_shares_ties_and_abstains(make):
    found = values(scored_run(make, TWO), "nemo-skills")
    assert found["pass@1[avg-of-1]"] == 0
    assert found["pass@1[avg-of-2]"] == 50
    assert found["majority@2"] == 50
    assert found["majority@4"] == 75  # a pool of two and two
    assert (found["rm_best@1"], found["rm_best@2"], found["rm_best@4"]) == (0, 0, 0)
    assert found["rm_majority@4"] == 50  # 0.9 < 0.8 + 0.3; 0.6 > 0.4
    assert found["pass@2"] == pytest.approx(83.3333)
    assert "majority@1" not in found


def test_lighteval_gives_a_tie_to_the_first_and_lets_missing_answers_vote(make):
    found = values(scored_run(make, TWO), "lighteval")
    assert found["maj@n:n=4"] == 50
    assert found["avg@n:n=4"] == 50
    assert found["pass@k:k=4&n=4"] == 100


def test_lighteval_counts_missing_answers_as_one_that_may_win(make):
    mute = scored_run(make, [([None, None, "1"], "1", (0.0, 0.0, 0.0))])
    assert values(mute, "lighteval")["maj@n:n=3"] == 0
    assert values(mute, "nemo-skills")["majority@3"] == 100


def test_search_and_learn_chooses_a_candidate_without_an_answer_for_its_score(make):
    found = values(scored_run(make, TWO), "search-and-learn")
    assert (found["pred_naive@2"], found["pred_naive@4"]) == (0, 0)
    assert found["pred_maj@4"] == 50
    assert "pass@1" in found


def test_search_and_learn_scores_by_the_last_step_whatever_the_run_took(make):
    pools = [(["1", "2"], "1", (0.1, 0.4))]
    size = make.cell("best_of_n", [2], "best", aggregate="min")
    made = make.pool(*pools[0][:2], score=pools[0][2], steps=((0.1, 0.9), (0.5, 0.4)))
    run = make.run([size], [make.attempt(size["id"], "p0", made)])
    found = tool_rows(run, TOOLS["search-and-learn"])
    [best] = [row for row in found.rows if row.name == "pred_naive@2"]
    assert (best.value, best.ours, best.options) == (1.0, 0.0, ("aggregate",))


def test_papers_name_the_mean_the_vote_and_what_is_often_right(make):
    pools = [(["1", "1", "1", "2"], "1", (0.0,) * 4), (["3", "4", "4", "5"], "4", (0.0,) * 4)]
    found = values(scored_run(make, pools), "papers")
    assert found["avg@4"] == 62.5  # 3 of 4 and 2 of 4
    assert "avg@2" not in found
    assert found["pass@2"] == pytest.approx(91.6667)  # 1 and 5 of 6 pairs
    assert found["G-Pass@2_0.5"] == found["pass@2"]
    assert found["G-Pass@4_0.5"] == 100
    assert found["worst-of-2"] == pytest.approx(33.3333)  # 3 and 1 of 6 pairs
    assert found["worst-of-4"] == 0
    assert found["maj@4"] == 100
    assert not {"maj@1", "worst-of-1"} & found.keys()


def test_only_the_rows_of_given_sizes_and_no_more_than_were_drawn(make, cli):
    run = scored_run(make, TWO)
    code, out, err = cli("report", run.folder, "--convention", "papers", "--k", "3", "--k", "1")
    assert (code, err) == (0, "")
    rows = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert [row for row in rows if row.startswith("avg")] == ["avg@1", "avg@3"]
    assert not [row for row in rows if "4" in row or "2" in row]
    code, _, err = cli("report", run.folder, "--convention", "papers", "--k", "5")
    assert code == 2
    assert err.endswith("run: --k 5: no more than 4 draws of a problem are there\n")
    assert err.count("\n") == 1
    code, _, err = cli("report", run.folder, "--k", "2")
    said = "--k chooses among the rows that --convention prints; name one"
    assert (code, err) == (2, f"error: {said}\n")


def test_this_gives_the_rows_of_the_runs_own_table(make):
    run = make.realistic(problems=12, sweep=(1, 4, 16))
    ours = {
        (row.name, row.n): row.accuracy.value
        for row in make_rows(build_report(run))
        if not row.varying
    }
    found = {row.name: row.value for row in tool_rows(run, TOOLS["this"]).rows}
    names = {"best": "best_of_n", "majority": "self_consistency", "weighted": "weighted_vote"}
    labelled = {(row.name, row.settings): row.value for row in tool_rows(run, TOOLS["this"]).rows}
    for k in (1, 4, 16):
        assert found[f"pass@{k}"] == pytest.approx(ours[f"pass@{k}", k])
        for rule, strategy in names.items():
            label = {"best": "best_of_n", "majority": "", "weighted": ""}[rule]
            assert labelled[f"{rule}@{k}", label] == pytest.approx(ours[strategy, k])
    assert ("best@16", "logprob_ranking, normalize=sum") in labelled


def test_every_difference_is_named_with_both_figures(make):
    found = tool_rows(scored_run(make, TWO), TOOLS["nemo-skills"])
    rows = {row.name: row for row in found.rows}
    assert rows["majority@4"].options == ()
    assert rows["majority@2"].options == ("draws",)
    text = tool_text(found)
    [line] = [one for one in text.splitlines() if one.startswith("  majority@2") and "here" in one]
    assert "50.0000 there,  58.3333 here: the first k draws, not all subsets" in line
    assert "not imitated: answers are found and graded as this run has it" in text


def test_an_option_alone_changes_this_projects_rows(make):
    run = scored_run(make, TWO)
    assert values(run, "ties=none")["majority@4"] == 50
    assert values(run, "this", "ties=none")["majority@4"] == 50
    assert values(run)["majority@4"] == 75


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["nemo_skills"], "no such tool, only this, nemo-skills.*Did you mean 'nemo-skills'"),
        (["ties=fist"], "ties must be one of expectation, first, none.*Did you mean 'first'"),
        (["tie=first"], "no option 'tie', only draws, ties.*Did you mean 'ties'"),
        (["lighteval", "this"], "lighteval is named already"),
        (["ties=first", "ties=none"], "ties is given twice"),
    ],
)
def test_a_wrong_convention_is_one_line(given, words):
    with pytest.raises(UsageError, match=words) as caught:
        read_tool(given)
    assert "\n" not in str(caught.value)


def test_a_run_without_pools_says_so(make):
    cell = make.cell("greedy")
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))])
    with pytest.raises(UsageError, match="needs pools of independent draws"):
        tool_rows(run, TOOLS["nemo-skills"])


def test_rows_that_need_scores_or_answers_are_said_to_be_missing(make):
    cell = make.cell("self_consistency", [2], "majority")
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1", "1"]))])
    found = tool_rows(run, TOOLS["nemo-skills"])
    assert "no rm_best@k and rm_majority@k: the run's candidates have no scores" in found.notes
    assert not any(row.name.startswith("rm_") for row in found.rows)


def test_a_failed_attempt_is_wrong_and_a_missing_one_too(make):
    cell = make.cell("self_consistency", [2], "majority")
    attempts = [
        make.attempt(cell["id"], "a", make.pool(["1", "1"])),
        make.attempt(cell["id"], "b", Pool(), status="error", correct=False),
    ]
    problems = [{"id": name, "level": None, "subject": None} for name in "abcd"]
    run = make.run([cell], attempts, problems=problems)
    assert values(run, "nemo-skills")["majority@2"] == 25
    assert values(run, "nemo-skills")["pass@1[avg-of-2]"] == 25


def test_seeds_are_averaged_and_each_draw_of_each_is_a_run(make):
    cell = make.cell("self_consistency", [2], "majority")
    drawn = {("a", 0): "11", ("b", 0): "12", ("a", 1): "22", ("b", 1): "21"}
    attempts = [
        make.attempt(cell["id"], problem, make.pool(list(answers)), seed=seed)
        for (problem, seed), answers in drawn.items()
    ]
    run = make.run([cell], attempts, seeds=[0, 1])
    rows = {row.name: row for row in tool_rows(run, TOOLS["nemo-skills"]).rows}
    assert rows["pass@1[avg-of-2]"].value == 0.5
    # The four runs have 1, 0.5, 0 and 0.5 of their two problems right.
    assert rows["pass@1[avg-of-2]"].spread == pytest.approx((0.5 / 3) ** 0.5)
    assert rows["majority@2"].value == 0.5


def test_an_unfinished_run_counts_what_is_there(make):
    cell = make.cell("self_consistency", [2], "majority")
    problems = [{"id": name, "level": None, "subject": None} for name in "ab"]
    attempts = [make.attempt(cell["id"], "a", make.pool(["1", "1"]))]
    run = make.run([cell], attempts, problems=problems, status="cancelled")
    found = tool_rows(run, TOOLS["nemo-skills"])
    assert {row.name: row.value for row in found.rows}["majority@2"] == 1
    assert found.run.endswith("(partial)")


def test_a_recording_without_answers_has_no_votes_and_no_share_of_missing_ones(make):
    cells = [make.cell("random_choice", [2], "first"), make.cell("best_of_n", [2], "best")]
    pool = {"answer_class": (0, 1), "correct": (True, False), "score": (0.9, 0.1)}
    attempts = [
        make.attempt(one["id"], "a", make.pool([None, None], **pool), answer=None) for one in cells
    ]
    found = tool_rows(make.run(cells, attempts), TOOLS["nemo-skills"])
    values = {row.name: row.value for row in found.rows}
    assert (values["pass@2"], values["rm_best@2"]) == (1, 1)
    assert not any("majority" in name for name in values)
    assert "no majority@k and rm_majority@k: no draw has an answer" in found.notes
    assert "no_answer" not in found.counts


def test_the_command_prints_and_writes_nothing(make, cli):
    run = scored_run(make, TWO)
    before = sorted(path.name for path in run.folder.iterdir())
    code, out, err = cli("report", run.folder, "--convention", "nemo-skills")
    assert code == 0, err
    assert "rm_majority@4" in out
    assert sorted(path.name for path in run.folder.iterdir()) == before
    code, _, err = cli("report", run.folder, "--convention", "nemo-skills", "--output", "x")
    assert (code, err.count("\n")) == (2, 1)


def test_the_published_figures_of_nemo_skills_come_back(make, shared_data):
    rows = nemo_rows(shared_data)
    pools = []
    for row in rows:
        made = make.pool(row["pred"], None, score=tuple(row["score"]))
        pools.append((row, made))
    cells = [
        make.cell("self_consistency", [3], "majority"),
        make.cell("best_of_n", [3], "best"),
    ]
    attempts = [
        make.attempt(
            one["id"],
            row["id"],
            Pool(
                answer=made.answer,
                answer_class=made.answer_class,
                correct=tuple(row["correct"]),
                score=made.score,
                tokens=tuple(row["tokens"]),
                finish_reason=made.finish_reason,
            ),
        )
        for row, made in pools
        for one in cells
    ]
    run = make.run(cells, attempts)
    found = tool_rows(run, TOOLS["nemo-skills"])
    figures = {row.name: round(100 * row.value, 4) for row in found.rows}
    assert {name: figures[name] for name in PUBLISHED} == PUBLISHED
    assert int(found.counts["avg_tokens"]) == 9574


def nemo_rows(shared_data):
    path = shared_data / "pools" / "nemo_aime_7x3.pool.jsonl"
    if not path.is_file():
        pytest.skip(f"{NOT_TO_BE_HAD}recorded pools of 7 AIME problems")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("line", FIGURES.read_text("utf-8").splitlines())
def test_the_tools_own_code_gives_the_same_figures(make, line):
    """Made by running NeMo-Skills 8b18f399, search-and-learn 6f81cac and lighteval 3fd15266."""
    made = json.loads(line)
    pools = [
        (one["answers"], "1", tuple(one["scores"]), *([one["correct"]] if "correct" in one else []))
        for one in made["pools"]
    ]
    run = scored_run(make, pools)
    for tool, figures in made["figures"].items():
        rows = {row.name: row for row in tool_rows(run, TOOLS[tool]).rows}
        for name, (value, *spread) in figures.items():
            assert 100 * rows[name].value == pytest.approx(value), name
            if spread:
                assert 100 * rows[name].spread == pytest.approx(spread[0]), name
