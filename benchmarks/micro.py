"""What single acts of the harness take, in microseconds of processor time.

    python benchmarks/micro.py

The least of seven rounds each, which others on the machine disturb little.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

from tts_bench.answers.extract import extract
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call, Meter, PrefixIndex
from tts_bench.types import Score
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.cached import pack

SHAPE = ModelShape(
    layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151936
)
STEP = "Step by step we find that 3 + 4 = 7, so it goes on.\n\n" * 14


def microseconds(act: Callable[[], object], times: int = 60) -> float:
    """Processor time of one act, the least of seven rounds."""
    rounds = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(times):
            act()
        rounds.append((time.process_time() - began) / times)
    return round(1e6 * min(rounds), 1)


def scoring(tokens: int) -> Scoring:
    """A score of one call that read so many tokens."""
    ids = tuple(range(150_000, 150_000 + tokens))
    return Scoring(Score(0.5, (0.1, 0.5)), (Call(ids, 0, logits=0),))


def calls(number: int) -> list[Call]:
    """Calls with prompts of 101 tokens, which differ in the last."""
    return [Call((*range(100), i), 50) for i in range(number)]


def search_paths() -> list[tuple[int, ...]]:
    """The prompts of a beam search: 16 beams, 40 steps of 30 tokens, 4 beams kept."""
    rng, found = random.Random(0), []
    beams = [tuple(range(100))] * 16
    for _ in range(40):
        beams = [(*rng.choice(beams[:4]), *(rng.randrange(1000) for _ in range(30))) for _ in beams]
        found += beams
    return found


def add_all(paths: list[tuple[int, ...]]) -> None:
    """Put the paths into a new index."""
    index = PrefixIndex()
    for path in paths:
        index.add(path)


def main() -> None:
    """Print the microseconds of each act."""
    paths = search_paths()
    print(
        json.dumps(
            {
                "pack_a_score_of_100_tokens": microseconds(lambda: pack(scoring(100))),
                "pack_a_score_of_2000_tokens": microseconds(lambda: pack(scoring(2000))),
                "charge_4_calls": microseconds(lambda: Meter(SHAPE).charge(calls(4))),
                "charge_16_calls": microseconds(lambda: Meter(SHAPE).charge(calls(16))),
                "look_up_a_prompt": round(microseconds(lambda: add_all(paths), 1) / len(paths), 1),
                "read_a_step_without_an_answer": microseconds(lambda: extract(STEP)),
                "read_a_boxed_answer": microseconds(lambda: extract(STEP + "So \\boxed{12}.")),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
