from __future__ import annotations

import pytest

from tts_bench.strategy.tree import columns, distinct, top, whole_texts
from tts_bench.types import Candidate, Node, Score, SearchTree


def candidate(number: int, text: str, parent: int | None = None, path=(0,)) -> Candidate:
    return Candidate(
        id=number,
        prompt_ids=(1,),
        token_ids=tuple(map(ord, text)),
        text=text,
        answer=None,
        answer_class=None,
        logprob=0.0,
        generated_tokens=len(text),
        finish_reason="stop",
        parent=parent,
        path=path,
    )


def node(number: int, text: str, score: float = 0.5, **rest) -> Node:
    return Node(candidate(number, text, **rest), Score(score), open=False)


def test_the_top_is_best_first_and_ties_go_to_what_came_first():
    nodes = [node(i, "", score) for i, score in enumerate([0.2, 0.9, 0.2, 0.9, 0.5])]
    assert [one.candidate.id for one in top(nodes, 4)] == [1, 3, 4, 0]
    assert top(nodes, 0) == []
    assert len(top(nodes, 9)) == 5


def test_of_twins_the_first_stays_in_its_place():
    drawn = [candidate(i, text) for i, text in enumerate(["a", "b", "a", "c", "b"])]
    assert [one.id for one in distinct(drawn)] == [0, 1, 3]


def test_columns_hold_what_each_step_adds():
    nodes = [
        node(0, "a\n\n", 0.1),
        node(1, "b\n\n", 0.2, path=(1,)),
        node(2, "b\n\nc", 0.3, parent=1, path=(1, 0)),
        node(4, "a\n\nd", 0.4, parent=0, path=(0, 0)),
        node(7, "b\n\ncef", 0.5, parent=2, path=(1, 0, 0)),
    ]
    tree = columns(nodes)
    assert tree == SearchTree(
        parent=(None, None, 1, 0, 2),
        step=(1, 1, 2, 2, 3),
        text=("a\n\n", "b\n\n", "c", "d", "ef"),
        score=(0.1, 0.2, 0.3, 0.4, 0.5),
    )
    assert whole_texts(tree) == [one.candidate.text for one in nodes]


def test_a_step_that_was_cut_within_a_character_goes_on_with_or_without_it():
    nodes = [
        node(0, "a\ufffd"),
        node(1, "a\u00e9 b", parent=0, path=(0, 0)),  # completed
        node(2, "a\ufffdc", parent=0, path=(0, 1)),  # never completed
        node(3, "d\ufffd\ufffd", path=(1,)),  # does not go on
        node(4, "a\u00e9 b\ufffd", parent=1, path=(0, 0, 0)),
        node(5, "a\u00e9 b\u4e2d", parent=4, path=(0, 0, 0, 0)),
    ]
    tree = columns(nodes)
    assert tree.text == ("a", "\u00e9 b", "\ufffdc", "d\ufffd\ufffd", "", "\u4e2d")
    texts = [one.candidate.text for one in nodes]
    # The mark of a character that others complete is theirs; every other text is as it was.
    assert whole_texts(tree) == ["a", *texts[1:4], "a\u00e9 b", texts[5]]


@pytest.mark.parametrize(
    "nodes",
    [
        [node(0, "a"), node(0, "a")],
        [node(1, "ab", parent=0), node(0, "a")],
        [node(0, "a"), node(1, "bc", parent=0)],
    ],
    ids=["twice", "before its parent", "not its parent's text"],
)
def test_what_makes_no_tree_is_refused(nodes):
    with pytest.raises(ValueError, match="does not fit into the tree"):
        columns(nodes)
