"""Pairs of a reference and a response, by kind: what is to be right, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

from tts_bench.answers.equality import equal
from tts_bench.answers.responses import find_answer

PAIRS = Path(__file__).parents[1] / "data" / "answer_pairs.jsonl"
"""A line each: `kind`, `gold` (the reference), `pred` (the response) and `expected`."""


def test_every_pair_is_as_people_expect() -> None:
    pairs = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    verdicts = []
    for pair in pairs:
        answer = find_answer(pair["pred"])
        verdicts.append(answer is not None and equal(pair["gold"], answer))
    assert len(pairs) > 700
    accepted = [pair for pair, right in zip(pairs, verdicts, strict=True) if right]
    assert [pair for pair in accepted if not pair["expected"]] == []
    assert [pair for pair in pairs if pair["expected"] and pair not in accepted] == []
