"""The data set's port: problems and, kept apart from them, their reference answers."""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tts_bench.types import Problem


@dataclass(frozen=True, slots=True)
class Item:
    """A problem and its reference answer; only the grader is shown both."""

    problem: Problem
    reference: str


@dataclass(frozen=True, slots=True)
class LoadedDataset:
    """The items of a data set in a stable order, with where they came from."""

    name: str
    source: str
    """Hub id, file path or generator, as the user would name it."""
    revision: str
    """Hub commit; empty for local files and generated problems."""
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    """What a user is to be told of how they were read, a line each."""

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @property
    def content_hash(self) -> str:
        """SHA-256 over ids, texts, levels, subjects and references, in order."""
        return content_hash(self.items)


class Dataset(abc.ABC):
    """Where problems come from. Subclasses are frozen dataclasses of their settings."""

    @abc.abstractmethod
    def load(self) -> LoadedDataset:
        """Read every item. Raises DatasetError if that fails or nothing is there."""


def content_hash(items: Sequence[Item]) -> str:
    """SHA-256 (hex) over the items' content, wherever they were read from."""
    digest = hashlib.sha256()
    for item in items:
        row = {**asdict(item.problem), "reference": item.reference}
        digest.update(json.dumps(row, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def text_id(text: str) -> str:
    """A problem's id if none is given: the first 12 hex digits of its text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
