"""Process reward models: a token classifier that is read at the ends of steps.

On transformers' Trainer: TRL 1.16 no longer has a trainer for process reward models, and the one
that it had took hard labels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from tts_bench.dataset.row import Row
from tts_bench.dataset.step_formats import Conventions
from tts_bench.dataset.step_labels import RowReader
from tts_bench.errors import DatasetError, ModelError
from tts_bench.training import batches
from tts_bench.training.config import PrmConfig
from tts_bench.training.data import Example
from tts_bench.training.losses import IGNORED, step_loss
from tts_bench.training.models import context_of, load_model, load_tokenizer, pad_id
from tts_bench.training.setup import TrainingSetup, say, train_on_rows
from tts_bench.training.trainer import Batch, TrainingOutcome
from tts_bench.verifier.formats import FORMATS, Format
from tts_bench.verifier.rendering import Renderer

TRL_ROLES = {"prompt": "problem", "completions": "steps"}
"""TRL's names of roles, in a training file's `columns`, that have other names here."""
WRONG, RIGHT = 0, 1
"""The classes of the head."""


def train_prm(
    config: PrmConfig, *, resume: bool = False, overwrite: bool = False
) -> TrainingOutcome:
    """Train a token classifier on step labels and write it to `config.output`.

    Texts are rendered by the code with which the verifier `prm` reads the model, so that both
    mean the same position by the end of a step.
    """
    reader = make_reader(config)
    tokenizer = load_tokenizer(config)
    renderer = make_renderer(config, tokenizer)
    model = load_model(
        config,
        tokenizer,
        "AutoModelForTokenClassification",
        num_labels=2,
        id2label={WRONG: "wrong", RIGHT: "right"},
        label2id={"wrong": WRONG, "right": RIGHT},
        classifier_dropout=config.head_dropout,
    )
    model.config.use_cache = False
    pad = pad_id(tokenizer)
    session = TrainingSetup(
        model=model,
        tokenizer=tokenizer,
        max_length=context_of(config, model),
        encode=lambda rows: encode(rows, config, reader, renderer),
        collate=lambda batch: collate(batch, pad),
        loss=loss,
    )
    return train_on_rows(config, session, resume=resume, overwrite=overwrite)


def make_renderer(config: PrmConfig, tokenizer: Any) -> Renderer:
    """The verifier's renderer. Raises ModelError if the tokenizer lacks what marks a step.

    White space as delimiter may be several tokens. Anything else must be one: what a tokenizer
    spells out in letters is no mark.
    """
    form = FORMATS[config.format] if isinstance(config.format, str) else config.format
    if form.layout != "pieces" or form.head != "labels":
        raise ModelError(
            f"format {config.format!r}: a model with two labels at the end of each step is "
            "trained here (layout pieces, head labels), as in 'trl'"
        )
    renderer = Renderer(_without_template(form, tokenizer), tokenizer, config.delimiter)
    if form.marker is None and config.delimiter.strip():
        renderer.token(config.delimiter)
    return renderer


def _without_template(form: Format, tokenizer: Any) -> Format:
    if not form.chat or tokenizer.chat_template:
        return form
    import dataclasses

    say("the tokenizer has no chat template: problems stand as they are; give the verifier "
        "`format: {layout: pieces, head: labels, close_last: false}`")  # fmt: skip
    return dataclasses.replace(form, chat=False)


def make_reader(config: PrmConfig) -> RowReader:
    """Reads rows as the training file says. Raises DatasetError for an unknown role."""
    return RowReader(
        columns={TRL_ROLES.get(role, role): name for role, name in config.columns.items()},
        format=None if config.data_format == "auto" else config.data_format,
        conventions=Conventions(
            neutral=config.neutral,
            after_error=config.after_error,
            alternatives=config.alternatives,
            soft=config.labels == "soft",
            step_tag=config.step_tag,
        ),
    )


def encode(
    rows: Sequence[Row], config: PrmConfig, reader: RowReader, renderer: Renderer
) -> list[Example]:
    """Every labelled solution of the rows; those without a single label are left out."""
    examples, counts = [], [0, 0]
    for row, solution in reader.read(rows):
        closed = solution.delimited(config.delimiter)
        reading = renderer.render(closed.problem, closed.steps)
        ids = np.array(reading.token_ids, dtype=np.int32)
        labels = np.full(len(ids), IGNORED, dtype=np.float32)
        before = renderer.prompt_length(closed.problem) - 1
        for place, label in zip(reading.positions, closed.labels, strict=True):
            if label is not None:
                first = max(before, place - config.label_tokens) + 1
                labels[first : place + 1] = label
                counts[label >= 0.5] += 1
            before = place
        if (labels != IGNORED).any():
            examples.append(Example(ids, labels, row.where))
    if not all(counts):
        raise DatasetError(
            f"{rows[0].where} and on: {counts[WRONG]} wrong and {counts[RIGHT]} right steps; "
            "a model learns nothing from one kind alone"
        )
    return examples


def collate(batch: Sequence[Example], pad: int) -> Batch:
    """Sequences of a batch with the labels at their step ends, and how many there are."""
    labels = batches.labels(batch, np.float32)
    return {
        **batches.inputs(batch, pad),
        "step_labels": labels,
        "count": (labels != IGNORED).sum(),
    }


def loss(model: Any, batch: Batch, count: Tensor) -> Tensor:
    """See `step_loss`."""
    outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return step_loss(outputs.logits, batch["step_labels"], count)
