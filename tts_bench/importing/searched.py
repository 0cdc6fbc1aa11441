"""Whether recorded texts come of a search: then they are no independent draws of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from tts_bench.dataset.rows import Row
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


def sign_of_search(
    rows: Sequence[Row], pools: Sequence[RecordedPool], source: Sequence[str]
) -> str | None:
    """What shows that the texts were searched for: a name, or beams that share beginnings."""
    is_named = False
    for row in rows:
        for column, cell in _cells(row):
            if isinstance(cell, str) and _NAMING.fullmatch(column):
                is_named = True
                if _SEARCH.search(cell):
                    return f"{row.where}: column {quoted(column)} says {quoted(cell)}"
            is_beam = _BEAM.fullmatch(column) and str(cell).strip() not in _ONE
            if is_beam and _share_beginnings(pools):
                place = f"{row.where}: column {quoted(column)} says {quoted(cell)}"
                return f"{place}, and texts share their beginnings"
    for name in () if is_named else source:
        if _SEARCH_NAME.search(name):
            return f"its name, {quoted(name)}, says so"
    return None


def _cells(row: Row) -> Iterator[tuple[str, object]]:
    """A row's cells, and those of the settings that stand in one."""
    for column, cell in row.cells.items():
        yield column, cell
        if isinstance(cell, dict):
            yield from cell.items()


def _share_beginnings(pools: Sequence[RecordedPool]) -> bool:
    """Whether of most pools with several texts most neighbours in alphabetical order do."""
    several = [sorted(set(pool.text)) for pool in pools if len(set(pool.text)) > 1]
    sharing = sum(_mostly(texts) for texts in several)
    return 2 * sharing > len(several)


def _mostly(texts: Sequence[str]) -> bool:
    pairs = list(pairwise(texts))
    same = sum(_same_beginning(*pair) > _SHARED * min(map(len, pair)) for pair in pairs)
    return 2 * same >= len(pairs)


def _same_beginning(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
