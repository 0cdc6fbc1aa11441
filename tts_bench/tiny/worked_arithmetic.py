r"""Worked solutions of generated arithmetic, with slips of care; and the exact check of them.

A solution computes one operation per step, in the order in which a careful pupil would, and ends
with its answer:

    <think>48 - 19 = 39\n\nWait, check: 48 - 19 = 29\n\n</think>\boxed{29}

Every operation is easy. What makes a policy trained on such traces err is care, not ability: at a
set rate a step goes wrong and the rest goes on with the wrong value. `Wait, check: ` begins a new
pass over the whole problem, whose last value becomes the answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench.steps import split_steps

DELIMITER = "\n\n"
OPEN, CLOSE = "<think>", "</think>"
RECHECK = "Wait, check: "
_TERM = re.compile(r"([+-]) (\d+)(?: \* (\d+))?")
_INTEGER = r"(-?\d{1,1000})"
_STEP = re.compile(rf"{_INTEGER} ([-+*]) {_INTEGER} = {_INTEGER}\n\n")
_ANSWER = re.compile(rf"{CLOSE}\\boxed{{{_INTEGER}}}")


@dataclass(frozen=True, slots=True)
class Care:
    """How often a trace slips, by the operation, and how often it checks itself.

    A forgotten borrow of a long difference (both numbers of two digits, as in 52 - 17 = 45) is
    the systematic error: where its rate is above one half, the most common answer to a problem
    with such a step is wrong, and neither votes nor probabilities find the right one.
    """

    easy: float = 0.03
    """Rate of scattered slips of sums and differences without carry or borrow."""
    hard: float = 0.08
    """Rate of scattered slips of products, and of sums and differences with carry or borrow."""
    forgotten: float = 0.10
    """Rate of forgotten carries, and of forgotten borrows of a number of one digit."""
    forgotten_long: float = 0.65
    """Rate of forgotten borrows of a number of two digits."""
    recheck: float = 0.15
    """Probability that a pass is followed by another one."""
    rechecked: float = 0.5
    """Factor on all rates of slips in each pass after the first: the third has its square."""
    passes: int = 5
    """Most passes of one trace."""


CAREFUL = Care(easy=0, hard=0, forgotten=0, forgotten_long=0, recheck=0)
"""No slips and no second pass."""


def write_solution(problem: str, care: Care, rng: random.Random) -> str:
    """One solution of a problem such as `Compute 6 * 8 - 19.`, slips included."""
    steps, value = _pass(problem, care, 1.0, rng)
    parts = [OPEN, *steps]
    for earlier in range(1, care.passes):
        if rng.random() >= care.recheck:
            break
        steps, value = _pass(problem, care, care.rechecked**earlier, rng)
        parts += [RECHECK, *steps]
    return "".join([*parts, f"{CLOSE}\\boxed{{{value}}}"])


def check_steps(problem: str, solution: str) -> list[bool]:
    """For each step of a solution, whether it and all before it in its pass are right.

    A second pass begins afresh: an error that it mends does not count against it.
    """
    labels: list[bool] = []
    on_track = True
    steps = split_steps(solution, DELIMITER)
    for step, right in zip(steps, check_each_step(problem, solution), strict=True):
        on_track = right and (on_track or step.startswith(RECHECK))
        labels.append(on_track)
    return labels


def check_each_step(problem: str, solution: str) -> list[bool]:
    """For each step of a solution, whether it is right given what those before it claim.

    Steps are those of `split_steps`. A step is right if it is the operation that comes next in
    the problem, on the values claimed so far, and its value is exact; the last one if it states
    the value of a pass that is complete. What is no step of arithmetic is wrong.
    """
    labels: list[bool] = []
    done: list[tuple[str, int]] = []
    for step in split_steps(solution, DELIMITER):
        text = step.removeprefix(OPEN) if not labels else step
        if text.startswith(RECHECK):
            text, done = text.removeprefix(RECHECK), []
        if answer := _ANSWER.fullmatch(text):
            complete = bool(done) and _next(problem, done) is None
            labels.append(complete and int(answer[1]) == done[-1][1])
        else:
            labels.append(_right(problem, done, text))
    return labels


def reference(problem: str) -> int:
    """The answer of a problem."""
    return write_value(problem, [])


def write_value(problem: str, done: list[tuple[str, int]]) -> int:
    """Value that a pass ends with, if all that follows the steps already done is right."""
    while (operation := _next(problem, done)) is not None:
        done = [*done, (operation, _exact(operation))]
    return done[-1][1]


def _pass(problem: str, care: Care, factor: float, rng: random.Random) -> tuple[list[str], int]:
    done: list[tuple[str, int]] = []
    while (operation := _next(problem, done)) is not None:
        done.append((operation, _value(operation, care, factor, rng)))
    return [f"{operation} = {value}{DELIMITER}" for operation, value in done], done[-1][1]


def _right(problem: str, done: list[tuple[str, int]], text: str) -> bool:
    """Whether a step is the next one and right; notes it as done."""
    step = _STEP.fullmatch(text)
    if step is None:
        return False
    operation, value = f"{step[1]} {step[2]} {step[3]}", int(step[4])
    expected = _next(problem, done)
    done.append((operation, value))
    return operation == expected and value == _exact(operation)


def _next(problem: str, done: Sequence[tuple[str, int]]) -> str | None:
    """The operation that follows, given what the steps so far claim; None after the last."""
    expression = problem.removeprefix("Compute ").removesuffix(".")
    steps = iter(done)
    value: int | None = None
    for sign, first, second in _TERM.findall(f"+ {expression}"):
        size = int(first)
        if second:
            product = next(steps, None)
            if product is None:
                return f"{first} * {second}"
            size = product[1]
        if value is None:
            value = size
            continue
        total = next(steps, None)
        if total is None:
            return f"{value} {sign} {size}"
        value = total[1]
    return None


def _exact(operation: str) -> int:
    left, sign, right = operation.split()
    a, b = int(left), int(right)
    return a * b if sign == "*" else a + b if sign == "+" else a - b


def _value(operation: str, care: Care, factor: float, rng: random.Random) -> int:
    """The value of an operation, or a slip."""
    left, sign, right = operation.split()
    a, b, exact = int(left), int(right), _exact(operation)
    carries = (sign == "+" and a % 10 + b % 10 > 9) or (sign == "-" and a % 10 < b % 10)
    if carries and a > 0 and b > 0:
        long = sign == "-" and a > 9 and b > 9
        rate = care.forgotten_long if long else care.forgotten
        if rng.random() < rate * factor:
            return exact - 10 if sign == "+" else exact + 10
    rate = care.hard if carries or sign == "*" else care.easy
    return _slip(a, b, sign, exact, rng) if rng.random() < rate * factor else exact


def _slip(a: int, b: int, sign: str, exact: int, rng: random.Random) -> int:
    """A wrong value near the exact one."""
    wrong = [exact - 2, exact - 1, exact + 1, exact + 2, exact - 10, exact + 10]
    if sign == "*":
        wrong = [a * (b - 1), a * (b + 1), (a - 1) * b, (a + 1) * b, *wrong[1:3]]
    if 10 <= exact <= 99:
        wrong.append(exact % 10 * 10 + exact // 10)
    return rng.choice([value for value in wrong if value != exact and 0 < value < 100] or wrong)
