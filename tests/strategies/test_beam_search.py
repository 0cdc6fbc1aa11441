"""Beam search on trees where the kept beams can be told by hand."""

from __future__ import annotations

import pytest
from search_worlds import World, answer, texts

from tts_bench.engine.base import Completion

# Four first steps; b is the best of them, then a. Each child ends with an answer.
TREE = {
    "": ["a\n\n", "b\n\n", "c\n\n", "d\n\n"],
    "a\n\n": ["\\boxed{1}", "\\boxed{2}"],
    "b\n\n": ["\\boxed{3}", "\\boxed{4}"],
    "c\n\n": ["\\boxed{5}", "\\boxed{6}"],
    "d\n\n": ["\\boxed{7}", "\\boxed{8}"],
}
SCORES = {
    "a\n\n": 0.6,
    "b\n\n": 0.9,
    "c\n\n": 0.2,
    "d\n\n": 0.1,
    "a\n\n\\boxed{1}": 0.3,
    "a\n\n\\boxed{2}": 0.95,
    "b\n\n\\boxed{3}": 0.7,
    "b\n\n\\boxed{4}": 0.8,
}


def test_the_best_beams_are_kept_and_each_has_its_children():
    world = World(TREE, SCORES)
    solution = world.solve("beam_search", n=4, beam_width=2, select="best")
    assert world.drawn == ["", "", "", "", "b\n\n", "b\n\n", "a\n\n", "a\n\n"]
    assert texts(solution) == [
        "b\n\n\\boxed{3}",
        "b\n\n\\boxed{4}",
        "a\n\n\\boxed{1}",
        "a\n\n\\boxed{2}",
    ]
    assert [score.value for score in solution.scores] == [0.7, 0.8, 0.3, 0.95]
    assert answer(solution) == "2"


def test_all_requests_of_a_level_go_out_at_once():
    world = World(TREE, SCORES)
    world.solve("beam_search", n=4, beam_width=2)
    assert world.calls == [4, 4]


def test_every_beam_is_scored_once():
    world = World(TREE, SCORES)
    solution = world.solve("beam_search", n=4, beam_width=2)
    assert world.scored == ["a\n\n", "b\n\n", "c\n\n", "d\n\n", *texts(solution)]


def test_the_final_choice_is_over_all_candidates():
    votes = {
        "": ["a\n\n", "b\n\n"],
        "a\n\n": ["\\boxed{1}", "so \\boxed{1}"],
        "b\n\n": ["\\boxed{2}", "so \\boxed{3}"],
    }
    scores = {"a\n\n\\boxed{1}": 0.3, "a\n\nso \\boxed{1}": 0.3, "b\n\n\\boxed{2}": 0.5}
    scores["b\n\nso \\boxed{3}"] = 0.1
    for select, expected in [("best", "2"), ("weighted", "1"), ("majority", "1")]:
        world = World({**votes, "": ["a\n\n", "b\n\n"] * 2}, scores)
        found = world.solve("beam_search", n=4, beam_width=2, select=select, duplicates="keep")
        assert answer(found) == expected, select


def test_a_finished_beam_keeps_its_place_until_the_end():
    tree = {
        "": ["\\boxed{9}", "a\n\n", "b\n\n", "c\n\n"],
        "a\n\n": ["x\n\n", "y\n\n"],
        "b\n\n": ["z\n\n"],
        "a\n\nx\n\n": ["\\boxed{1}", "\\boxed{2}"],
        "a\n\ny\n\n": ["\\boxed{3}"],
        "b\n\nz\n\n": ["\\boxed{4}"],
    }
    scores = {"\\boxed{9}": 0.99, "a\n\n": 0.8, "b\n\n": 0.7, "c\n\n": 0.6}
    world = World(tree, scores)
    solution = world.solve("beam_search", n=4, beam_width=2, select="best")
    # Three places are left: two beams are kept, and the better one has both its children.
    assert world.drawn[4:7] == ["a\n\n", "a\n\n", "b\n\n"]
    assert texts(solution)[0] == "\\boxed{9}"
    assert answer(solution) == "9"
    # It is neither continued nor scored again.
    assert "\\boxed{9}" not in world.drawn
    assert world.scored.count("\\boxed{9}") == 1
    assert len(solution.candidates) == 4
    assert all(candidate.finished for candidate in solution.candidates)


def test_a_truncated_step_is_no_finished_solution():
    tree = {"": ["one step that is too long", "a\n\n"], "a\n\n": ["\\boxed{1}"]}
    world = World(tree, max_tokens=15)
    solution = world.solve("beam_search", n=2, beam_width=1)
    cut, whole = solution.candidates
    assert (cut.text, cut.finish_reason, cut.finished) == ("one step that i", "length", False)
    assert whole.finished
    assert answer(solution) == "1"


def test_a_step_that_fills_its_limit_goes_on_where_it_stopped():
    world = World({"": ["abcdefgh"], "abcd": ["efgh"], "abcdefgh": [""]})
    solution = world.solve("beam_search", n=1, step_tokens=4)
    assert world.drawn == ["", "abcd"]
    assert texts(solution) == ["abcdefgh"]
    assert solution.candidates[0].finished


def test_a_limit_within_a_box_does_not_end_the_search():
    world = World({"": ["is \\boxed{12}"], "is \\boxed{": ["12}"]})
    solution = world.solve("beam_search", n=1, step_tokens=10)
    assert answer(solution) == "12"


def test_as_many_beams_as_children_is_no_single_chain():
    world = World(TREE, SCORES)
    world.solve("beam_search", n=4, beam_width=4)
    assert world.calls == [4, 4]
    assert world.drawn[4:] == ["b\n\n"] * 4


def test_a_continuation_is_the_exact_tokens_so_far():
    world = World(TREE, SCORES)
    world.solve("beam_search", n=4, beam_width=2)
    assert "".join(map(chr, world.requests[4].prompt_ids)) == "Q:b\n\n"


def test_a_solution_is_no_longer_than_one_that_is_drawn_at_once():
    tree = {"": ["abc\n\n"], "abc\n\n": ["defghij\n\n"]}
    world = World(tree, max_tokens=9)
    [only] = world.solve("beam_search", n=1).candidates
    assert (only.text, only.finish_reason) == ("abc\n\ndefg", "length")
    assert [request.sampling.max_tokens for request in world.requests] == [9, 4]


def test_what_the_engine_cuts_short_is_not_continued():
    # As at the end of a model's context: fewer tokens than were asked for, and no end.
    cut = Completion(tuple(map(ord, "ab")), "ab", -0.2, "length")
    world = World({"": [cut]})
    solution = world.solve("beam_search", n=1, step_tokens=8)
    assert world.calls == [1]
    assert solution.chosen is None


def test_a_step_that_fills_the_models_context_is_not_continued():
    # "Q:" and a step of three are five tokens; an engine refuses a prompt without room for more.
    for longest, calls in ((5, [1]), (6, [1, 1])):
        world = World({"": ["a\n\n"], "a\n\n": ["b\n\n"]}, max_model_len=longest)
        [only] = world.solve("beam_search", n=1, max_steps=2).candidates
        assert world.calls == calls
        assert not only.answer


def test_the_last_step_runs_to_the_end():
    tree = {"": ["a\n\n"], "a\n\n": ["b\n\nc\n\n\\boxed{1}"]}
    world = World(tree)
    solution = world.solve("beam_search", n=1, max_steps=2)
    assert texts(solution) == ["a\n\nb\n\nc\n\n\\boxed{1}"]
    assert [request.sampling.stop for request in world.requests] == [("\n\n",), ()]
    flat = World({"": ["a\n\nb\n\n\\boxed{1}"]})
    assert texts(flat.solve("beam_search", n=1, max_steps=1)) == ["a\n\nb\n\n\\boxed{1}"]


def test_a_stop_string_of_the_suite_ends_a_solution():
    tree = {"": ["a\n\n"], "a\n\n": ["\\boxed{1} ###"]}
    world = World(tree, stop=("###",))
    solution = world.solve("beam_search", n=1)
    assert world.requests[0].sampling.stop == ("\n\n", "###")
    assert (len(world.calls), answer(solution)) == (2, "1")


def test_the_looked_ahead_text_is_what_is_scored_and_paid_for():
    tree = {
        "": ["a\n\n", "b\n\n"],
        "a\n\n": ["bad\n\n", "\\boxed{1}"],
        "b\n\n": ["good\n\n", "\\boxed{2}"],
        "b\n\ngood\n\n": ["\\boxed{3}"],
    }
    # The step alone speaks for a, what comes of it for b.
    scores = {"a\n\n": 0.9, "b\n\n": 0.1, "a\n\nbad\n\n": 0.1, "b\n\ngood\n\n": 0.8}
    world = World(tree, scores)
    solution = world.solve("beam_search", n=2, beam_width=2, lookahead=1)
    assert world.scored[:2] == ["a\n\nbad\n\n", "b\n\ngood\n\n"]
    greedy = [request.sampling.temperature == 0 for request in world.requests]
    assert greedy[:4] == [False, False, True, True]
    # The rollout is dropped: the beam goes on from its own step.
    assert world.drawn[4:6] == ["b\n\n", "b\n\n"]
    assert {text.startswith("b\n\n") for text in texts(solution)} == {True}
    first, rollouts = len("a\n\nb\n\n"), len("bad\n\ngood\n\n")
    second, rollout = len("good\n\n\\boxed{2}"), len("\\boxed{3}")
    assert world.spent == first + rollouts + second + rollout + len("\\boxed{3}")


def test_a_rollout_ends_where_the_solution_does():
    tree = {"": ["a\n\n"], "a\n\n": ["b\n\n"], "a\n\nb\n\n": ["\\boxed{1}"]}
    world = World(tree)
    world.solve("beam_search", n=1, lookahead=5)
    assert world.scored[0] == "a\n\nb\n\n\\boxed{1}"


TWINS = {
    "": ["a\n\n", "a\n\n", "a\n\n", "b\n\n"],
    "a\n\n": ["\\boxed{1}", "\\boxed{2}", "\\boxed{2}"],
    "b\n\n": ["\\boxed{3}", "\\boxed{4}"],
}


def test_merged_twins_are_one_beam_and_one_candidate():
    world = World(TWINS, {"a\n\n": 0.9, "b\n\n": 0.1})
    solution = world.solve("beam_search", n=4, beam_width=2)
    assert world.scored[:2] == ["a\n\n", "b\n\n"]
    assert world.drawn[4:] == ["a\n\n", "a\n\n", "b\n\n", "b\n\n"]
    assert len(set(texts(solution))) == len(solution.candidates) == 4


def test_kept_twins_each_have_children():
    world = World(TWINS, {"a\n\n": 0.9, "b\n\n": 0.1})
    solution = world.solve("beam_search", n=4, beam_width=2, duplicates="keep")
    assert world.drawn[4:] == ["a\n\n"] * 4
    assert len(solution.candidates) == 4


def test_equal_scores_keep_what_was_drawn_first():
    world = World(TREE, lambda _: 0.5)
    solution = world.solve("beam_search", n=4, beam_width=2, select="best")
    assert world.drawn[4:] == ["a\n\n", "a\n\n", "b\n\n", "b\n\n"]
    assert answer(solution) == "1"


def test_one_candidate_is_one_chain():
    world = World(TREE, SCORES)
    solution = world.solve("beam_search", n=1, beam_width=4)
    assert world.calls == [1, 1]
    assert texts(solution) == ["a\n\n\\boxed{1}"]


def test_where_the_budget_ends_the_search_what_was_found_is_chosen_from():
    tree = {"": ["\\boxed{9}", "aaaaaaa\n\n"]}
    world = World(tree, {"aaaaaaa\n\n": 0.9}, budget=18)
    solution = world.solve("beam_search", n=2, beam_width=1)
    assert world.spent == 18
    assert texts(solution) == ["\\boxed{9}", "aaaaaaa\n\n"]
    assert answer(solution) == "9"


def test_the_last_number_of_a_step_is_no_answer_but_a_box_in_it_is():
    tree = {"": ["3 + 4 = 7\n\n", "\\boxed{8}\n\n"]}
    for n, expected in ((2, "8"), (1, None)):
        world = World(tree, {"3 + 4 = 7\n\n": 0.9}, budget=11 * n)
        solution = world.solve("beam_search", n=n, beam_width=1, select="best")
        assert answer(solution) == expected


def test_a_rollout_that_the_budget_does_not_cover_is_left_out():
    tree = {"": ["\\boxed{9}", "aaaaaaa\n\n"]}
    world = World(tree, budget=18)
    solution = world.solve("beam_search", n=2, beam_width=1, lookahead=2)
    assert world.scored == ["\\boxed{9}", "aaaaaaa\n\n"]
    assert answer(solution) == "9"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": 6, "beam_width": 4}, "n=6 must be a multiple of beam_width=4, or 1"),
        ({"n": 0}, "n must be at least 1"),
        ({"beam_width": 0}, "beam_width must be at least 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"step_tokens": 0}, "step_tokens must be at least 1"),
        ({"lookahead": -1}, "lookahead must be 0 or more"),
        ({"delimiter": ""}, "delimiter must not be empty"),
    ],
)
def test_wrong_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        World({}).solve("beam_search", **params)
