"""What a grading worker does in tests: as the answer says, it sleeps, spins or eats memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tts_bench.answers.grader import Question, Reply, reply_to


def work(question: Question) -> Reply:
    """`sleep 2`, `spin`, `fill`, `once spin FILE` (only if FILE is not there yet), or grading."""
    match question.answer.split():
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["spin"]:
            _spin()
        case ["fill"]:
            _fill()
        case ["once", what, marker] if not Path(marker).exists():
            Path(marker).touch()
            _spin() if what == "spin" else os._exit(1)
        case ["once", *_]:
            pass
        case _:
            return reply_to(question)
    return True


def _spin() -> None:
    while True:
        pass


def _fill() -> None:
    held = []
    while True:
        held.append(bytearray(1 << 26))
