"""TrainingOutcome reward models: a sequence classifier with one logit, read at the last token."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_bench.dataset.columns import OUTCOMES, Columns
from tts_bench.dataset.row import Row
from tts_bench.errors import DatasetError, ModelError, quoted
from tts_bench.training import batches
from tts_bench.training.config import OrmConfig
from tts_bench.training.data import Example, text_cell
from tts_bench.training.losses import last_real, outcome_loss
from tts_bench.training.models import context_of, load_model, load_tokenizer, pad_id
from tts_bench.training.setup import TrainingSetup, say, train_on_rows
from tts_bench.training.trainer import Batch, TrainingOutcome
from tts_bench.verifier.formats import OUTCOME_FORMATS, OutcomeFormat
from tts_bench.verifier.rendering import OutcomeRenderer


def train_orm(
    config: OrmConfig, *, resume: bool = False, overwrite: bool = False
) -> TrainingOutcome:
    """Train a sequence classifier on right and wrong solutions; write it to `config.output`.

    Rows have the columns `prompt` (or `problem`), `completion` (or `solution`) and `label` (or
    `correct`): true, false, or the probability that the solution is right.
    """
    columns = Columns(OUTCOMES, config.columns, required=tuple(OUTCOMES))
    tokenizer = load_tokenizer(config)
    renderer = make_renderer(config, tokenizer)
    settings = {"num_labels": 1, "classifier_dropout": config.head_dropout}
    model = load_model(config, tokenizer, "AutoModelForSequenceClassification", **settings)
    model.config.use_cache = False
    if model.config.pad_token_id is None:
        model.config.pad_token_id = pad_id(tokenizer)  # transformers' own pooling asks for it
    pad = pad_id(tokenizer)
    session = TrainingSetup(
        model=model,
        tokenizer=tokenizer,
        max_length=context_of(config, model),
        encode=lambda rows: encode(rows, columns, renderer),
        collate=lambda batch: collate(batch, pad),
        loss=loss,
    )
    return train_on_rows(config, session, resume=resume, overwrite=overwrite)


def make_renderer(config: OrmConfig, tokenizer: Any) -> OutcomeRenderer:
    """The renderer of the verifier that reads the model. Raises ModelError."""
    given = config.format
    form: OutcomeFormat = OUTCOME_FORMATS[given] if isinstance(given, str) else given
    if form.head != "scalar":
        raise ModelError(f"format {given!r}: a scalar head is trained here, as in 'classifier'")
    if form.chat and not tokenizer.chat_template:
        say("the tokenizer has no chat template: problems stand as they are; give the verifier "
            "`format: {head: scalar, chat: false}`")  # fmt: skip
        form = dataclasses.replace(form, chat=False)
    return OutcomeRenderer(form, tokenizer)


def encode(rows: Sequence[Row], columns: Columns, renderer: OutcomeRenderer) -> list[Example]:
    """Problem and solution of each row. Raises DatasetError if all labels are the same."""
    examples = []
    for row in rows:
        cells = columns.cells(row)
        problem, solution = text_cell(row, cells, "prompt"), text_cell(row, cells, "completion")
        label = _label(row, cells["label"])
        ids = np.array(renderer.render(problem, solution).token_ids, dtype=np.int32)
        examples.append(Example(ids, label, row.where))
    right = sum(example.labels >= 0.5 for example in examples)
    if right in (0, len(examples)):
        what = "right" if right else "wrong"
        raise DatasetError(
            f"all {len(examples)} solutions are {what}: a reward model learns nothing from them; "
            "sample harder or easier problems, or another policy"
        )
    return examples


def _label(row: Row, value: object) -> float:
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    raise DatasetError(
        f"{row.where}: label must be true, false or from 0 to 1, not {quoted(value)}"
    )


def collate(batch: Sequence[Example], pad: int) -> Batch:
    """Sequences of a batch, and the label of each."""
    return {
        **batches.inputs(batch, pad),
        "outcomes": torch.tensor([example.labels for example in batch]),
        "count": torch.tensor(len(batch)),
    }


def logits(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The head's number at each row's last real token: [batch].

    Computed here and not by the model's own pooling, which looks for the padding's id.
    """
    hidden = model.base_model(input_ids=input_ids, attention_mask=attention_mask)
    pooled = last_real(hidden.last_hidden_state, attention_mask)
    scores: Tensor = model.score(pooled)
    return scores.squeeze(-1)


def loss(model: Any, batch: Batch, count: Tensor) -> Tensor:
    """See `outcome_loss`."""
    found = logits(model, batch["input_ids"], batch["attention_mask"])
    return outcome_loss(found, batch["outcomes"], count)
