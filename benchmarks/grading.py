"""What grading costs beside math-verify called directly, in processor seconds of the same pairs.

    python benchmarks/grading.py REFERENCES.jsonl [--field answer] [--pairs 5000] [--rounds 5]

Each reference is paired with other spellings of itself and with its neighbours, every pair once.
Both graders work in turn on parts of the pairs; the grader's workers, their start included, and
the import of math-verify are counted. How often the two agree is printed too: what is faster
must not be so by looking less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from tts_bench.answers.grader import Grader
from tts_bench.answers.responses import Response, grade_responses

Pair = tuple[str, str]
_SPELLINGS = (
    "{}",
    "${}$",
    r"\boxed{{{}}}",
    "{}.",
    "x = {}",
    r"\left({}\right)",
    "{}+0",
)


def pairs_of(references: Sequence[str], number: int) -> list[Pair]:
    """Other spellings of each reference, and its neighbours, until there are enough."""
    distinct = list(dict.fromkeys(references))
    plain = [one.replace(r"\frac", r"\dfrac").replace(r"\sqrt", r"\sqrt ") for one in distinct]
    same = [
        (one, spelling.format(written))
        for spelling in _SPELLINGS
        for one, written in zip(distinct, plain, strict=True)
    ]
    others = [
        (one, distinct[(i + distance) % len(distinct)])
        for distance in range(1, -(-number // len(distinct)) + 1)
        for i, one in enumerate(distinct)
    ]
    # As many right answers as wrong ones, until there are no spellings left.
    turns = [one for both in zip(same, others, strict=False) for one in both]
    return list(dict.fromkeys([*turns, *others]))[:number]


def by_math_verify(pairs: Sequence[Pair]) -> list[bool]:
    """Verdicts of math-verify, called as its documentation does but for its timeouts."""
    from math_verify import parse, verify

    return [
        bool(
            verify(
                parse(f"${reference}$", parsing_timeout=None),
                parse(f"${answer}$", parsing_timeout=None),
                timeout_seconds=None,
            )
        )
        for reference, answer in pairs
    ]


async def compare(pairs: Sequence[Pair], rounds: int, workers: int) -> None:
    """Grade all pairs by both, a part each in turn, and print the seconds of either."""
    ours, theirs = 0.0, 0.0
    agreed = graded = 0
    before = _children()
    async with Grader(workers=workers) as grader:
        for part in (pairs[i::rounds] for i in range(rounds)):
            start = time.process_time()
            verdicts = await grade_responses([Response(*pair) for pair in part], grader)
            ours += time.process_time() - start
            start = time.process_time()
            others = by_math_verify(part)
            theirs += time.process_time() - start
            graded += sum(not verdict.timed_out for verdict in verdicts)
            agreed += sum(a.correct == b for a, b in zip(verdicts, others, strict=True))
    ours += _children() - before
    print(f"{len(pairs)} pairs, {graded} graded, {agreed} verdicts as math-verify's")
    print(f"tts-bench {ours:.1f} s of processor time, math-verify {theirs:.1f} s")
    print(f"ratio {theirs / ours:.1f}")


def _children() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("references", type=Path, help="JSON lines with reference answers")
    parser.add_argument("--field", default="answer", help="where a line holds its reference")
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    given = parser.parse_args()
    lines = given.references.read_text("utf-8").splitlines()
    pairs = pairs_of([str(json.loads(line)[given.field]) for line in lines], given.pairs)
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    asyncio.run(compare(pairs, given.rounds, given.workers))


if __name__ == "__main__":
    main()
