"""From a training's rows to its end: what policy, ORM and PRM training have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_bench.dataset.row import Row
from tts_bench.errors import printable
from tts_bench.training.config import DataConfig
from tts_bench.training.data import Example, plan_batches, read_source, stages_of, within
from tts_bench.training.folder import OutputFolder
from tts_bench.training.trainer import Batch, Loss, TrainingOutcome, fit


@dataclass(frozen=True)
class TrainingSetup:
    """Parts that differ between kinds of training: model, rows, batches and loss."""

    model: Any
    tokenizer: Any
    max_length: int
    encode: Callable[[Sequence[Row]], list[Example]]
    collate: Callable[[list[Example]], Batch]
    loss: Loss


def open_folder(config: Any, *, overwrite: bool) -> OutputFolder:
    """The output folder, emptied if that is asked for."""
    folder = OutputFolder(Path(config.output))
    if overwrite:
        folder.clear()
    return folder


def train_on_rows(
    config: DataConfig, session: TrainingSetup, *, resume: bool, overwrite: bool
) -> TrainingOutcome:
    """Encode the rows of all stages, plan their batches and train."""
    examples: list[Example] = []
    lengths, data = [], []
    for stage in stages_of(config):
        source = read_source(config, stage.data)
        kept, left_out = within(session.encode(source.rows), session.max_length, config.too_long)
        if left_out:
            say(f"{', '.join(source.names)}: {left_out} of {left_out + len(kept)} rows left out: "
                f"longer than max_length {session.max_length}")  # fmt: skip
        examples += kept
        lengths.append([len(one) for one in kept])
        data.append(
            {
                "names": list(source.names),
                "sha256": source.sha256,
                "rows": len(source.rows),
                "left_out": left_out,
                "tokens": sum(lengths[-1]),
            }
        )
    plan = plan_batches(lengths, config)
    folder = open_folder(config, overwrite=overwrite)
    folder.begin(config, {"stages": data}, resume=resume)
    say(f"{len(examples)} rows, {sum(map(sum, lengths)):,} tokens, {plan.steps} steps")
    return fit(
        config,
        folder=folder,
        model=session.model,
        tokenizer=session.tokenizer,
        examples=examples,
        plan=plan,
        collate=session.collate,
        loss=session.loss,
    )


def say(text: str) -> None:
    """A line for the user, beside the progress."""
    print(printable(text), file=sys.stderr, flush=True)
