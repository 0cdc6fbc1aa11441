"""Whether recorded texts come of a search: then they are no independent draws of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, takewhile

from tts_bench.dataset.row import Row
from tts_bench.errors import quoted
from tts_bench.importing.pools import RecordedPool

_NAMING = re.compile(
    r"(?:search[ _]?)?(?:method|approach|strategy|algorithm)|search", re.IGNORECASE
)
_SEARCH = re.compile(
    r"beam|dvts|diverse[ _-]?verifier|lookahead|tree[ _-]?search|mcts|rebase|particle",
    re.IGNORECASE,
)
_SEARCH_NAME = re.compile(r"beam[ _-]?search|\bdvts\b", re.IGNORECASE)
_BEAM = re.compile(r"(?:n_|num_)?beams?(?:_width|_size|_id|_idx|_index)?", re.IGNORECASE)
_ONE = ("", "0", "1", "1.0", "0.0", "None", "False")
_SHARED = 0.3
"""Share of two neighbours' shorter text that is the same in both; draws part after a few words."""


class SignsOfSearch:
    """Looks at rows for what shows that texts were searched for: a name, or a number of beams."""

    def __init__(self) -> None:
        self._is_named = False
        self._sure: str | None = None
        self._beams: str | None = None

    def see(self, row: Row) -> None:
        """Look at a row; the first name that tells of a search is sure."""
        if self._sure:
            return
        for column, cell in _cells(row):
            if isinstance(cell, str) and _NAMING.fullmatch(column):
                self._is_named = True
                if _SEARCH.search(cell):
                    self._sure = f"{row.where}: column {quoted(column)} says {quoted(cell)}"
                    return
            is_beam = _BEAM.fullmatch(column) and str(cell).strip() not in _ONE
            if is_beam and self._beams is None:
                self._beams = f"{row.where}: column {quoted(column)} says {quoted(cell)}"

    def found(self, pools: Iterable[RecordedPool], source: Sequence[str]) -> str | None:
        """What shows it; beams count where texts share their beginnings, too."""
        if self._sure:
            return self._sure
        if self._beams and _share_beginnings(pools):
            return f"{self._beams}, and texts share their beginnings"
        for name in () if self._is_named else source:
            if _SEARCH_NAME.search(name):
                return f"its name, {quoted(name)}, says so"
        return None


def _cells(row: Row) -> Iterator[tuple[str, object]]:
    """A row's cells, and those of the settings that stand in one."""
    for column, cell in row.cells.items():
        yield column, cell
        if isinstance(cell, dict):
            yield from cell.items()


def _share_beginnings(pools: Iterable[RecordedPool]) -> bool:
    """Whether of most pools with several texts most neighbours in alphabetical order do."""
    verdicts = [_mostly(sorted(set(one.text))) for one in pools if len(set(one.text)) > 1]
    return 2 * sum(verdicts) > len(verdicts)


def _mostly(texts: Sequence[str]) -> bool:
    pairs = list(pairwise(texts))
    same = sum(_same_beginning(*pair) > _SHARED * min(map(len, pair)) for pair in pairs)
    return 2 * same >= len(pairs)


def _same_beginning(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
