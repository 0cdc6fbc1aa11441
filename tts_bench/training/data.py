"""Rows of training files, the token sequences made of them, and the order of the batches."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tts_bench.dataset.download import download
from tts_bench.dataset.row import Row
from tts_bench.dataset.rows import SUFFIXES, read_rows
from tts_bench.errors import DatasetError
from tts_bench.training.config import DataConfig, Stage

DEFAULT_BATCH_SIZE = 16
_POOL = 50
"""Batches whose rows are sorted by length together: little padding, and still a shuffle."""


@dataclass(frozen=True, slots=True)
class Example:
    """One token sequence [length], and what is to be learnt from it."""

    input_ids: np.ndarray[Any, np.dtype[np.int32]]
    labels: Any
    """Policy and PRM: an array of the same length; ORM: one number."""
    where: str
    """Where it was read, for messages."""

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class StageRows:
    """Rows of one stage, and what identifies them in the manifest."""

    rows: tuple[Row, ...]
    names: tuple[str, ...]
    sha256: str
    """Over all cells of all rows, in order."""


def stages_of(config: DataConfig) -> tuple[Stage, ...]:
    """The curriculum; a training without stages is one of one stage."""
    return config.stages or (Stage(data=config.data, epochs=config.epochs),)


def read_source(config: DataConfig, data: Sequence[str]) -> StageRows:
    """Read the files, or the hub's data set, of one stage. Raises DatasetError."""
    rows: list[Row] = []
    for name in data:
        rows += _read(name, config)
    if not rows:
        raise DatasetError(f"{', '.join(data)}: no rows")
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.cells, sort_keys=True, default=str).encode() + b"\n")
    return StageRows(tuple(rows), tuple(data), digest.hexdigest())


def _read(name: str, config: DataConfig) -> list[Row]:
    if Path(name).suffix.lower() in SUFFIXES or Path(name).is_file():
        return read_rows(name)
    return download(name, None, config.split, config.revision)[0]


def text_cell(row: Row, cells: Mapping[str, Any], role: str) -> str:
    """The role's cell of a row. Raises DatasetError if it is not text."""
    value = cells[role]
    if isinstance(value, str):
        return value
    kind = "empty" if value is None else f"a {type(value).__name__}"
    raise DatasetError(f"{row.where}: the {role} is {kind}, not text")


def within(
    examples: Sequence[Example], max_length: int, too_long: str
) -> tuple[list[Example], int]:
    """The examples that are not too long, and how many were left out.

    Nothing is ever cut: half a solution with the label of the whole would teach a falsehood.
    Raises DatasetError for the first one that is too long under `error`, or where none is left.
    """
    kept = [example for example in examples if len(example) <= max_length]
    if len(kept) < len(examples) and too_long == "error":
        first = next(example for example in examples if len(example) > max_length)
        raise DatasetError(
            f"{first.where}: {len(first)} tokens do not fit max_length {max_length}; "
            "raise it, or leave such rows out with `too_long: skip`"
        )
    if not kept:
        raise DatasetError(f"none of {len(examples)} rows fits max_length {max_length}")
    return kept, len(examples) - len(kept)


@dataclass(frozen=True)
class BatchPlan:
    """Every batch of a training, in order, and the learning rate of each step as a factor."""

    batches: tuple[tuple[int, ...], ...]
    """Indices into the examples of all stages, one stage after the other."""
    stage_of_step: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps of the optimizer."""
        return len(self.stage_of_step)


def plan_batches(lengths: Sequence[Sequence[int]], config: DataConfig) -> BatchPlan:
    """Cut the stages into batches; `lengths` are those of each stage's sequences.

    A function of the lengths, the seed and the settings alone, so that a training that is
    resumed knows what it has seen. With `max_steps` the last stage is repeated as often as
    needed, or the plan cut off there.
    """
    wanted = config.max_steps
    batches: list[tuple[int, ...]] = []
    stage_of_step: list[int] = []
    offset = 0
    stages = stages_of(config)
    for number, (stage, own) in enumerate(zip(stages, lengths, strict=True)):
        last = number == len(stages) - 1
        epoch = 0
        while (epoch < stage.epochs and not (last and wanted)) or (
            last and wanted and len(stage_of_step) < wanted
        ):
            rng = random.Random(f"{config.seed}/{number}/{epoch}")
            cut = [tuple(offset + i for i in batch) for batch in _epoch(own, config, rng)]
            steps = -(-len(cut) // config.accumulate)
            # A step never spans two epochs or stages: the last one is filled up from the front.
            cut += cut[: steps * config.accumulate - len(cut)]
            batches += cut
            stage_of_step += [number] * steps
            epoch += 1
        offset += len(own)
    steps = min(len(stage_of_step), wanted or len(stage_of_step))
    return BatchPlan(tuple(batches[: steps * config.accumulate]), tuple(stage_of_step[:steps]))


def _epoch(lengths: Sequence[int], config: DataConfig, rng: random.Random) -> list[tuple[int, ...]]:
    """Each index once, in batches of similar lengths, in random order."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    mean = sum(lengths) / len(lengths)
    size = config.batch_size or DEFAULT_BATCH_SIZE
    if config.batch_tokens:
        size = max(1, round(config.batch_tokens / mean))
    batches: list[tuple[int, ...]] = []
    for start in range(0, len(order), _POOL * size):
        pool = sorted(order[start : start + _POOL * size], key=lambda i: (lengths[i], i))
        batches += _cut(pool, lengths, size, config.batch_tokens)
    rng.shuffle(batches)
    return batches


def _cut(
    pool: Sequence[int], lengths: Sequence[int], size: int, tokens: int | None
) -> Iterator[tuple[int, ...]]:
    """Batches of `size` sequences, or of as many as fit `tokens` with their padding."""
    batch: list[int] = []
    for i in pool:
        full = (len(batch) + 1) * lengths[i] > tokens if tokens else len(batch) == size
        if batch and full:
            yield tuple(batch)
            batch = []
        batch.append(i)
    if batch:
        yield tuple(batch)
