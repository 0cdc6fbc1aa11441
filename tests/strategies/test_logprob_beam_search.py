"""Log-prob beam search: the policy's own probability decides, and nothing else."""

from __future__ import annotations

import math

import pytest
from search_worlds import World, answer, load

from tts_bench.engine.base import Completion
from tts_bench.suite.fields import field_types


def written(text: str, mean: float, stop: str | None = None) -> Completion:
    return Completion(tuple(map(ord, text)), text, mean * len(text), "stop", stop)


TREE = {
    "": [written("aaaaaaaaaa\n\n", -0.2, "\n\n"), written("b\n\n", -0.5, "\n\n")],
    "aaaaaaaaaa\n\n": [written("\\boxed{1}", -0.2)],
    "b\n\n": [written("\\boxed{2}", -0.5)],
}


@pytest.mark.parametrize(
    ("score", "kept", "chosen"),
    [
        ("mean", "aaaaaaaaaa\n\n", "1"),
        ("sum", "b\n\n", "2"),  # -1.5 against -2.4: the short one
    ],
)
def test_the_most_probable_beam_is_kept(score, kept, chosen):
    world = World(TREE)
    solution = world.solve("logprob_beam_search", n=2, beam_width=2, score=score)
    assert set(world.drawn[2:]) == {kept}
    assert answer(solution) == chosen
    assert not world.scored


def test_the_score_is_that_of_the_whole_solution():
    world = World(TREE)
    solution = world.solve("logprob_beam_search", n=2, beam_width=1)
    assert [score.value for score in solution.scores] == pytest.approx([-0.2, -0.5])
    assert math.isclose(solution.candidates[1].logprob, -0.5 * 12)


def test_votes_cannot_be_weighed_by_log_probabilities():

    kind = field_types(load("logprob_beam_search"))["select"]
    assert "weighted" not in str(kind)
