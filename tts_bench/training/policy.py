"""Supervised fine-tuning: a policy learns to write the completions of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from tts_bench.dataset.columns import CONVERSATIONS, Columns
from tts_bench.dataset.row import Row
from tts_bench.errors import DatasetError
from tts_bench.training import batches
from tts_bench.training.config import PolicyConfig
from tts_bench.training.data import Example, text_cell
from tts_bench.training.losses import IGNORED, next_token_loss
from tts_bench.training.models import (
    PromptEncoder,
    context_of,
    encode_texts,
    load_model,
    load_tokenizer,
    pad_id,
)
from tts_bench.training.setup import TrainingSetup, train_on_rows
from tts_bench.training.trainer import Batch, TrainingOutcome


def train_policy(
    config: PolicyConfig, *, resume: bool = False, overwrite: bool = False
) -> TrainingOutcome:
    """Train a causal language model on completions and write it to `config.output`.

    Rows have the columns `prompt` (or `problem`) and `completion` (or `solution`), or
    `messages`, whose last one is the completion. The completion ends with the end-of-turn token.
    """
    make_columns(config)
    tokenizer = load_tokenizer(config)
    model = load_model(config, tokenizer, "AutoModelForCausalLM")
    model.config.use_cache = False
    pad = pad_id(tokenizer)
    session = TrainingSetup(
        model=model,
        tokenizer=tokenizer,
        max_length=context_of(config, model),
        encode=lambda rows: encode(rows, config, tokenizer),
        collate=lambda batch: collate(batch, pad),
        loss=loss,
    )
    return train_on_rows(config, session, resume=resume, overwrite=overwrite)


def encode(rows: Sequence[Row], config: PolicyConfig, tokenizer: Any) -> list[Example]:
    """Prompt and completion of each row as one sequence; its labels are the next tokens.

    The prompt is encoded as a run's is, and apart from the completion: that is how a policy
    meets it when it is benchmarked.
    """
    encoder = PromptEncoder(tokenizer, config.prompt)
    columns = make_columns(config)
    pairs = [_pair(row, columns, encoder) for row in rows]
    completions = encode_texts(tokenizer, [text for _, text in pairs])["input_ids"]
    examples = []
    for row, (prompt, _), completion in zip(rows, pairs, completions, strict=True):
        ids = np.array([*prompt, *completion, tokenizer.eos_token_id], dtype=np.int32)
        targets = np.append(ids[1:], IGNORED)
        if config.loss_on == "completion":
            targets[: max(0, len(prompt) - 1)] = IGNORED
        examples.append(Example(ids, targets, row.where))
    return examples


def make_columns(config: PolicyConfig) -> Columns:
    """How the columns of a training's rows are found. Raises DatasetError for an unknown role."""
    return Columns(CONVERSATIONS, config.columns)


def _pair(row: Row, columns: Columns, encoder: PromptEncoder) -> tuple[Sequence[int], str]:
    cells = columns.cells(row)
    if "messages" in cells and ("messages" in columns.given or not columns.given):
        return _conversation(row, cells["messages"], encoder)
    for role in ("prompt", "completion"):
        if role not in cells:
            raise DatasetError(columns.missing(role, list(row.cells), row.where))
    return encoder(text_cell(row, cells, "prompt")), text_cell(row, cells, "completion")


def _conversation(row: Row, messages: Any, encoder: PromptEncoder) -> tuple[Sequence[int], str]:
    """The turns before the last one as the prompt, and the last one as the completion."""
    is_turns = isinstance(messages, list) and all(
        isinstance(one, dict) and isinstance(one.get("content"), str) and "role" in one
        for one in messages
    )
    if not is_turns or len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DatasetError(
            f"{row.where}: messages must be a list of {{role, content}} of which the last is "
            "the assistant's"
        )
    turns = [{"role": one["role"], "content": one["content"]} for one in messages[:-1]]
    return encoder.tokenizer.encode_chat(turns, {}), messages[-1]["content"]


def collate(batch: Sequence[Example], pad: int) -> Batch:
    """Sequences of a batch with the targets of each position, and how many there are."""
    targets = batches.labels(batch, np.int64)
    return {
        **batches.inputs(batch, pad),
        "targets": targets,
        "count": (targets != IGNORED).sum(),
    }


def loss(model: Any, batch: Batch, count: Tensor) -> Tensor:
    """See `next_token_loss`."""
    outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return next_token_loss(outputs.logits, batch["targets"], count)
