"""Manifests: what a run, a labelling job or a training was, in one JSON file beside its results.

One reader, one writer and one clock for all of them. Keys that this version does not know are
kept as they are, so that a manifest may travel between versions.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.engine.base import EngineInfo
from tts_bench.errors import StoreError
from tts_bench.secrets.masking import hide, hide_assigned, masked
from tts_bench.store.files import first_fault, write_atomically
from tts_bench.verifier.base import VerifierInfo

FORMAT_VERSION = 1
_DAMAGED = (
    "damaged (move the folder elsewhere and give the command that made it anew: completions come "
    "from the store)"
)


def now() -> str:
    """UTC time to the second, in ISO 8601."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Entry(BaseModel):
    """A part of a manifest; fields with a default are those that an older version did not write."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def recorded(self) -> dict[str, Any]:
        """The keys that stand in the file, as plain values."""
        return self.model_dump(exclude_unset=True)

    def changed(self, **parts: Any) -> Self:
        """The same with other values in these fields."""
        if strange := parts.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(strange))}")
        return type(self).model_validate({**self.recorded(), **parts})


class GitEntry(Entry):
    """The commit of the checkout that the code ran from."""

    commit: str
    dirty: bool = False
    """Whether there were changes that no commit holds."""


class EnvironmentEntry(Entry):
    """Where and with what something was made (see `store.environment`)."""

    tts_bench: str | None = None
    git: GitEntry | None = None
    python: str | None = None
    platform: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    cpu: dict[str, Any] = Field(default_factory=dict)
    gpus: list[str] = Field(default_factory=list)
    threads: str | None = None


MODEL_KEYS = ("engine", "model", "revision", "dtype", "max_model_len")
"""What makes two engines the same: fields of `EngineEntry`."""


class EngineEntry(Entry):
    """What a started engine said of itself (see `engine.base.EngineInfo`)."""

    engine: str = ""
    model: str = "unknown model"
    revision: str = ""
    dtype: str = ""
    max_model_len: int = 0
    shape: dict[str, Any] | None = None
    shape_note: str = ""
    exact_tokens: bool = True
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, info: EngineInfo) -> Self:
        """The entry of a started engine; what only some have to say is left out for the others."""
        said = asdict(info)
        silent = {"exact_tokens": True, "notes": ()}
        return cls(**{name: one for name, one in said.items() if one != silent.get(name, ...)})

    @property
    def brief(self) -> dict[str, str]:
        """What tells models apart in a report."""
        return {key: getattr(self, key) for key in ("model", "revision", "engine", "dtype")}


class VerifierEntry(Entry):
    """What a started verifier said of itself (see `verifier.base.VerifierInfo`)."""

    name: str = ""
    """As the suite names it."""
    recipe: str | None = None
    model: EngineEntry | None = None
    shape: dict[str, Any] | None = None

    @classmethod
    def of(cls, name: str, info: VerifierInfo) -> Self:
        """The entry of a started verifier."""
        shape = asdict(info.shape) if info.shape else None
        model = EngineEntry.of(info.model) if info.model else None
        return cls(name=name, recipe=info.recipe, model=model, shape=shape)


class DatasetEntry(Entry):
    """Where the problems come from."""

    name: str = ""
    source: str = ""
    revision: str = ""
    content_hash: str | None = None
    size: int | None = None
    """How many problems the whole data set has."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Rows that were unusable and left out, by the kind of fault."""

    @classmethod
    def of(cls, name: str, dataset: LoadedDataset) -> Self:
        """The entry of a data set that a suite calls `name`."""
        return cls(
            name=name,
            source=dataset.source,
            revision=dataset.revision,
            content_hash=dataset.content_hash,
            size=len(dataset),
        )


class ProblemEntry(Entry):
    """A problem that the run attempts; its text stands there for reports without the data set."""

    id: str
    level: int | None = None
    subject: str | None = None
    text: str | None = None
    reference: str | None = None

    @classmethod
    def of(cls, item: Item) -> Self:
        """The entry of a problem with its reference answer."""
        one = item.problem
        return cls(
            id=one.id,
            level=one.level,
            subject=one.subject,
            text=one.text,
            reference=item.reference or None,
        )


class CellEntry(Entry):
    """A strategy with its parameters (see `suite.cells.Cell`)."""

    id: str
    strategy: str
    params: dict[str, Any]
    sampling: dict[str, Any]
    pooled: bool
    selector: str | None = None
    at: tuple[int, ...] = ()
    n: Any = None
    """The strategy's field of that name, also if it is a default, which `params` does not name."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.pooled and (not self.at or list(self.at) != sorted({*self.at}) or self.at[0] < 1):
            raise ValueError("at: a pooled cell needs its sizes, ascending from 1 or more")
        return self

    @field_validator("sampling")
    @classmethod
    def _check_sampling(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        for name, value in sampling.items():
            lists = name in ("stop", "stop_token_ids", "bad_words")
            if not isinstance(value, list | tuple if lists else float | int):
                raise ValueError(f"{name}: {str(value)[:20]} is no setting of a sampling")
        return sampling


class ThroughputEntry(Entry):
    """What a session took."""

    generated_tokens: int
    """Tokens that the engine generated, not counting those from the store."""
    seconds: float
    requests_from_store: int


class SessionEntry(Entry):
    """An earlier session of a run that was stopped and went on."""

    argv: tuple[str, ...] = ()
    started: str = ""
    ended: str | None = None
    status: str = ""
    throughput: ThroughputEntry | None = None
    environment: EnvironmentEntry = EnvironmentEntry()

    @classmethod
    def of(cls, earlier: RunManifest) -> Self:
        """What stays of a session in the manifest of a later one."""
        return cls(
            argv=earlier.argv,
            started=earlier.started,
            ended=earlier.ended,
            status=earlier.status,
            throughput=earlier.throughput,
            environment=earlier.environment,
        )


class RepeatsEntry(Entry):
    """The run that a run repeats, and what is different by now, a phrase each."""

    run: str
    differs: tuple[str, ...] = ()


class RecordingEntry(Entry):
    """What of recorded completions was taken at its word (see `importing.recording`)."""

    answers: Literal["ours", "recorded", "none"] = "ours"
    """`none`: neither texts nor answers were recorded."""
    verdicts: Literal["ours", "recorded", "both"] = "both"
    equal: Literal["equivalent", "literal"] = "equivalent"
    """Which answers voted together: those of equal value, or those written alike."""
    kind: str = "math"
    """The kind of answers by which ours were found and graded."""
    no_answer: tuple[str, ...] = ()
    mixed: int = 0
    """Problems in which answers that vote together have different verdicts."""
    selected: bool = False
    """Whether a completion of every problem is right, so that problems may be chosen for it."""


class Manifest(Entry):
    """What every manifest has."""

    format_version: int = FORMAT_VERSION
    status: str
    """`running` until the end is written, which says how it ended."""
    environment: EnvironmentEntry = EnvironmentEntry()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest. Raises StoreError if it is torn, of another format, or lacks a part."""
        try:
            data = json.loads(path.read_text("utf-8"))
            # Halves of characters, which JSON can name and no file can hold, become question marks.
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}: {_DAMAGED}: no JSON: {str(error)[:200]}") from error
        found = data.get("format_version") if isinstance(data, dict) else None
        if found != FORMAT_VERSION:
            raise StoreError(
                f"{path}: manifest of format {str(found)[:20]}, and this version reads format "
                f"{FORMAT_VERSION} only{_made_by(data)}"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            part = f"missing or malformed part: {first_fault(error)[:200]}"
            raise StoreError(f"{path}: {part}") from error

    def write(self, path: Path) -> None:
        """Write it in one step, so that it is never seen half-written, and without secrets.

        Raises StoreError.
        """
        data = masked({"format_version": self.format_version, **self.recorded()}, hide)
        if "argv" in data:
            data["argv"] = list(map(hide_assigned, data["argv"]))
        write_atomically(path, json.dumps(data, indent=2, default=str) + "\n")


class RunManifest(Manifest):
    """The manifest of a run: everything that its attempts do not say themselves."""

    suite: str
    """The suite's name, which names the folder of its runs."""
    suite_hash: str = ""
    number: int = 0
    """The how-manieth run of this very suite it is, from 1; 0 in runs of older versions."""
    suite_text: str = ""
    """SHA-256 of the suite's file, which lies beside; empty in manifests of older versions."""
    resolved: dict[str, Any] = Field(default_factory=dict)
    """The suite with everything spelled out; empty for a run that was imported."""
    cells: tuple[CellEntry, ...]
    seeds: tuple[int, ...]
    partial: bool
    """Whether the run was restricted to some problems of its data set."""
    dataset: DatasetEntry
    problems: tuple[ProblemEntry, ...]
    generations: str | None = None
    """Path of the generation store, from the run's folder."""
    include_path: tuple[str, ...] = ()
    """Folders of strategies that no suite names."""
    verifier: VerifierEntry = VerifierEntry()
    engine: EngineEntry
    salt: str = ""
    """Keeps the completions of a fresh run apart from those that were stored before."""
    shard: str | None = None
    """`K/N` if only the K-th of N parts of the problems was run."""
    argv: tuple[str, ...] = ()
    started: str = ""
    ended: str | None = None
    throughput: ThroughputEntry | None = None
    earlier_sessions: tuple[SessionEntry, ...] = ()
    repeats: RepeatsEntry | None = None
    recording: RecordingEntry | None = None
    """What counts of a recording; None for a run, and for imports of older versions."""

    @field_validator("resolved")
    @classmethod
    def _check_blocks(cls, resolved: dict[str, Any]) -> dict[str, Any]:
        for block in ("prompt", "budget"):
            if not isinstance(resolved.get(block), dict | None):
                raise ValueError(f"{block}: must be a block")
        return resolved

    @property
    def finished(self) -> bool:
        """Whether every attempt was made, failed ones included."""
        return self.status in ("complete", "failed_attempts")


def _made_by(data: Any) -> str:
    """Which version wrote a manifest of another format, if it says so."""
    environment = data.get("environment") if isinstance(data, dict) else None
    made = environment.get("tts_bench") if isinstance(environment, dict) else None
    return f": it was made by tts-bench {made}, which can read it" if made else ""
