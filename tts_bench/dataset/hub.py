"""Data sets of the Hugging Face Hub: the known ones, pinned to a commit, and any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from tts_bench.dataset.base import LoadedDataset
from tts_bench.dataset.columns import PROBLEMS, Columns
from tts_bench.dataset.download import download
from tts_bench.dataset.items import (
    ToReference,
    after_hashes,
    integer,
    items_of,
    problem_columns,
)
from tts_bench.dataset.references import References
from tts_bench.dataset.rows import read_rows
from tts_bench.dataset.subset import SubsetDataset


def _columns(*problem: str, id: str = "") -> Columns:
    """The columns of a known set, under these names alone; the reference is called `answer`."""
    own = {
        "problem": tuple((name,) for name in problem),
        "reference": (("answer",),),
        "id": ((id,),) if id else (),
    }
    return problem_columns({}, {**PROBLEMS, **own})


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where a known set lies, and how its columns are to be read."""

    name: str
    hub_id: str
    split: str
    revision: str
    """Full commit hash."""
    columns: Columns
    config: str | None = None
    reference: ToReference | None = None
    """How its references are read; None: as in any data set."""


@dataclass(frozen=True)
class KnownDataset(SubsetDataset):
    """A public test set at a pinned commit.

    `path` reads a local file with the set's columns instead of the hub; `split` and `revision`
    override those of the set.
    """

    source: ClassVar[HubSource]

    path: str | None = None
    split: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is not None and (self.split or self.revision):
            raise ValueError("path: a local file has neither split nor revision")

    def load(self) -> LoadedDataset:
        """Read the local file, or fetch from the hub. Raises DatasetError if that fails."""
        source = self.source
        if self.path is not None:
            origin, commit, rows = self.path, "", read_rows(self.path)
        else:
            revision = self.revision or source.revision
            origin, split = source.hub_id, self.split or source.split
            rows, commit = download(origin, source.config, split, revision)
        references = References()
        items = items_of(rows, source.columns, origin, source.reference or references)
        part = self.part(items, origin)
        return LoadedDataset(source.name, origin, commit, part, references.notes)


@dataclass(frozen=True)
class Math500(KnownDataset):
    """MATH-500: competition problems of levels 1 to 5 in 7 subjects (Lightman et al. 2023)."""

    source = HubSource(
        name="math500",
        hub_id="HuggingFaceH4/MATH-500",
        split="test",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        columns=_columns("problem", id="unique_id"),
    )


@dataclass(frozen=True)
class Aime24(KnownDataset):
    """AIME 2024, parts I and II: 30 problems with integer answers from 0 to 999."""

    source = HubSource(
        name="aime24",
        hub_id="HuggingFaceH4/aime_2024",
        split="train",
        revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        columns=_columns("problem", id="id"),
        reference=integer,
    )


@dataclass(frozen=True)
class Aime25(KnownDataset):
    """AIME 2025, parts I and II: 30 problems with integer answers from 0 to 999."""

    source = HubSource(
        name="aime25",
        hub_id="math-ai/aime25",
        split="test",
        revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
        columns=_columns("problem", id="id"),
        reference=integer,
    )


@dataclass(frozen=True)
class Amc23(KnownDataset):
    """AMC 12 of 2023: 40 problems, reworded to have integer answers."""

    source = HubSource(
        name="amc23",
        hub_id="math-ai/amc23",
        split="test",
        revision="80815d37005feb82cd7f8fbc6901d5d3eff43057",
        columns=_columns("question", "problem", id="id"),
        reference=integer,
    )


@dataclass(frozen=True)
class Gsm8k(KnownDataset):
    """GSM8K: 1319 grade-school word problems with integer answers (Cobbe et al. 2021)."""

    source = HubSource(
        name="gsm8k",
        hub_id="openai/gsm8k",
        config="main",
        split="test",
        revision="740312add88f781978c0658806c59bc2815b9866",
        # The hub's rows have no ids, so local copies that number theirs get content ids too.
        columns=_columns("question"),
        reference=after_hashes,
    )


@dataclass(frozen=True)
class HubDataset(SubsetDataset):
    """Any data set of the hub, or a local folder in its layout.

    `columns` maps a role (problem, reference, id, level, subject) to the column that holds it;
    roles left out are looked for under their usual names. Without a `revision` the newest
    commit is fetched, and the commit found is recorded with the run.
    """

    id: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        problem_columns(self.columns)

    def load(self) -> LoadedDataset:
        """Fetch the split. Raises DatasetError if that fails or a column is missing."""
        rows, commit = download(self.id, self.config, self.split, self.revision)
        references = References()
        items = items_of(rows, problem_columns(self.columns), self.id, references)
        part = self.part(items, self.id)
        return LoadedDataset(self.id, self.id, commit, part, references.notes)
