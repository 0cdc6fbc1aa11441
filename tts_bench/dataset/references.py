"""The reference answers of a table, and what is to be said of how they were read."""

from __future__ import annotations

from tts_bench.answers.reference import read_reference
from tts_bench.errors import quoted


class References:
    """Reads cells with reference answers, and counts those that held a worked solution."""

    def __init__(self) -> None:
        self._of_solutions = 0
        self._first = ""

    def __call__(self, text: str) -> str:
        """The final answer that a cell states. Raises ValueError if it states none."""
        answer, of_solution = read_reference(text)
        if of_solution:
            self._first = self._first or answer
            self._of_solutions += 1
        return answer

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user is to be told, a line each."""
        if not self._of_solutions:
            return ()
        return (
            f"references of {self._of_solutions} rows are more than an answer; the final answer "
            f"that each states is taken, the first being {quoted(self._first)}",
        )
