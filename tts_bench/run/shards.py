"""Parts of a suite's problems, for machines that have no network between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from tts_bench.dataset.base import Item
from tts_bench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th (from 1) of `of` parts.

    A problem's part follows from its id alone: more problems, or others, move none of them.
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """The shard that `K/N` names. Raises UsageError."""
        number, slash, of = text.partition("/")
        try:
            shard = cls(int(number), int(of))
        except ValueError:
            slash = ""
        if not slash or not 1 <= shard.number <= shard.of:
            raise UsageError(f"--shard {text[:40]}: must be K/N with 1 <= K <= N, as 2/8")
        return shard

    def part(self, items: Iterable[Item]) -> tuple[Item, ...]:
        """Those of the problems that are in this shard, in order."""
        return tuple(item for item in items if self._of(item.problem.id) == self.number)

    def _of(self, problem: str) -> int:
        digest = hashlib.blake2b(problem.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return 1 + int.from_bytes(digest, "big") % self.of
