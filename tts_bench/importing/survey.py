"""What is to be known of all pools before the first is written, and of all once the last is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from tts_bench.dataset.base import Item
from tts_bench.importing.pools import RecordedPool
from tts_bench.importing.recording import AS_OURS, Recording
from tts_bench.store.manifest import RecordingEntry
from tts_bench.types import Pool


@dataclass(frozen=True)
class Survey:
    """Pools without their completions."""

    items: tuple[Item, ...]
    sizes: tuple[int, ...]
    scored: bool
    """Whether all have scores."""
    voting: bool
    """Whether answers of all are known, or texts in which to find them."""
    lengths: bool
    """Whether the tokens of every completion are known."""

    @classmethod
    def of(cls, pools: Iterable[RecordedPool]) -> Survey:
        """Look at each of the pools once."""
        items, sizes = [], []
        scored = voting = lengths = True
        for pool in pools:
            items.append(pool.item)
            sizes.append(len(pool))
            scored &= bool(pool.score)
            voting &= bool(pool.text or pool.answer)
            lengths &= bool(pool.tokens) and None not in pool.tokens
        return cls(tuple(items), tuple(sizes), scored, voting, lengths)


def digest_of(
    pools: Iterable[RecordedPool], recording: Recording, path: str, at: Sequence[int]
) -> str:
    """What makes two imports the same; as in all versions where nothing new is in them."""
    digest, mark = hashlib.sha256(), "["

    def add(part: object) -> None:
        nonlocal mark
        digest.update((mark + json.dumps(part, default=str)).encode())
        mark = ", "

    for pool in pools:
        add({name: part for name, part in asdict(pool).items() if name != "answer" or part})
    add(path)
    add(list(at))
    if recording != AS_OURS:
        add(repr({**vars(recording), "no_answer": sorted(recording.no_answer)}))
    digest.update(b"]")
    return digest.hexdigest()


class RecordingTally:
    """Counts over graded pools what is to be said of a recording."""

    def __init__(self) -> None:
        self._mixed = 0
        self._recorded, self._counted = _Rights(), _Rights()

    def add(self, pool: RecordedPool, graded: Pool) -> None:
        """Count a pool."""
        self._mixed += _is_mixed(graded)
        self._recorded.add(pool.verdict)
        self._counted.add(graded.correct)

    def entry(self, survey: Survey, recording: Recording) -> RecordingEntry:
        """What the manifest says of the recording."""
        return RecordingEntry(
            answers=recording.answers if survey.voting else "none",
            verdicts=recording.verdicts,
            equal="literal" if recording.literally else "equivalent",
            kind=recording.kind,
            no_answer=tuple(sorted(recording.no_answer)),
            mixed=self._mixed if survey.voting else 0,
            selected=self._recorded.selected or self._counted.selected,
        )


class _Rights:
    """Right completions of all problems."""

    def __init__(self) -> None:
        self._problems = self._none = self._wrong = 0

    def add(self, verdicts: Sequence[bool | None]) -> None:
        right = verdicts.count(True)
        self._problems += 1
        self._none += right == 0
        self._wrong += len(verdicts) - right

    @property
    def selected(self) -> bool:
        """Whether a completion of each of several problems is right, but not every completion."""
        return self._problems > 1 and not self._none and self._wrong > 0


def _is_mixed(pool: Pool) -> bool:
    """Whether answers that vote together have different verdicts."""
    verdicts: dict[int, bool] = {}
    return any(
        number >= 0 and verdict is not None and verdicts.setdefault(number, verdict) != verdict
        for number, verdict in zip(pool.answer_class, pool.correct, strict=True)
    )
