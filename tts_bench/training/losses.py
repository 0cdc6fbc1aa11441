"""Losses of the trainings, as functions of logits and labels (pure torch).

Every loss is a sum over what carries a label, divided by `count`: how many labels there are in
all batches of the step. So a step's gradient is the mean over its labels, however the rows were
cut into batches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""The label of a position from which nothing is learnt."""


def next_token_loss(logits: Tensor, targets: Tensor, count: Tensor | int) -> Tensor:
    """Cross-entropy (nats) of `logits` [batch, length, vocabulary] at `targets` [batch, length].

    Targets stand if they are predicted from: `targets[:, t]` is the token at t + 1.
    """
    flat = logits.reshape(-1, logits.shape[-1]).float()
    total = functional.cross_entropy(
        flat, targets.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    return total / count


def step_loss(logits: Tensor, labels: Tensor, count: Tensor | int) -> Tensor:
    """Cross-entropy of `logits` [batch, length, 2] against (1 - p, p) at step ends.

    `labels` [batch, length] holds p, the probability that the step is right (0 or 1 for hard
    labels), at the last token of each step, and IGNORED elsewhere.
    """
    at_ends = labels != IGNORED
    log_wrong, log_right = functional.log_softmax(logits[at_ends].float(), dim=-1).unbind(-1)
    right = labels[at_ends].float()
    return -(right * log_right + (1 - right) * log_wrong).sum() / count


def outcome_loss(logits: Tensor, labels: Tensor, count: Tensor | int) -> Tensor:
    """Binary cross-entropy of `logits` [batch] with `labels` [batch] in [0, 1]."""
    total = functional.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), reduction="sum"
    )
    return total / count


def last_real(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """`hidden` [batch, length, width] at each row's last real token: [batch, width].

    By the mask, not by the padding's id, and wherever the padding is: with padding in front, the
    number of real tokens is no place, and many tokenizers pad with the end-of-turn token.
    """
    places = torch.arange(attention_mask.shape[1], device=hidden.device)
    last = (attention_mask * places).argmax(dim=1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), last]
