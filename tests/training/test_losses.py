"""Losses against values worked out by hand, with padding on both sides and masked places."""

from __future__ import annotations

import math

import pytest
import torch

from tts_bench.training.losses import (
    IGNORED,
    last_real,
    next_token_loss,
    outcome_loss,
    step_loss,
)

LOG = math.log


def logits_of(*probabilities: float) -> list[float]:
    """Logits of a place with these probabilities, moved by a constant that must not matter."""
    return [LOG(p) + 3.0 for p in probabilities]


def test_next_tokens_are_averaged_over_the_targets_of_the_step():
    logits = torch.tensor(
        [
            [logits_of(0.5, 0.25, 0.25), logits_of(0.1, 0.8, 0.1), logits_of(0.2, 0.2, 0.6)],
            [logits_of(0.9, 0.05, 0.05), logits_of(0.3, 0.3, 0.4), logits_of(0.1, 0.1, 0.8)],
        ]
    )
    targets = torch.tensor([[0, 1, IGNORED], [IGNORED, 2, IGNORED]])
    expected = -(LOG(0.5) + LOG(0.8) + LOG(0.4)) / 3
    assert next_token_loss(logits, targets, 3).item() == pytest.approx(expected, abs=1e-6)


def test_steps_hard_soft_and_masked():
    places = [logits_of(0.2, 0.8), logits_of(0.6, 0.4), logits_of(0.5, 0.5), logits_of(0.9, 0.1)]
    logits = torch.tensor([places])
    labels = torch.tensor([[1.0, IGNORED, 0.25, 0.0]])
    soft = 0.25 * LOG(0.5) + 0.75 * LOG(0.5)
    expected = -(LOG(0.8) + soft + LOG(0.9)) / 3
    assert step_loss(logits, labels, 3).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_the_loss_of_steps(side: str):
    torch.manual_seed(0)
    short, long = torch.randn(3, 2), torch.randn(5, 2)
    pad = torch.full((2, 2), 1e4)  # whatever stands there
    parts = [pad, short] if side == "left" else [short, pad]
    off = torch.full((2,), float(IGNORED))
    own = torch.tensor([IGNORED, 1.0, 0.0])
    labels = [off, own] if side == "left" else [own, off]
    other = torch.tensor([0.5, IGNORED, IGNORED, IGNORED, 1.0])
    batch = step_loss(
        torch.stack([torch.cat(parts), long]), torch.stack([torch.cat(labels), other]), 4
    )
    apart = step_loss(short[None], own[None], 4) + step_loss(long[None], other[None], 4)
    assert batch.item() == pytest.approx(apart.item(), abs=1e-6)


def test_a_row_without_labels_adds_nothing_and_no_nan():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    loss = step_loss(logits, torch.full((1, 2), float(IGNORED)), 1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(1, 2, 2))


def test_outcomes():
    # sigmoid(log 3) = 3/4
    logits = torch.tensor([LOG(3), LOG(3), 0.0])
    expected = -(LOG(0.75) + LOG(0.25) + LOG(0.5)) / 3
    labels = torch.tensor([1.0, 0.0, 0.3])
    assert outcome_loss(logits, labels, 3).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "mask",
    [[[1, 1, 0, 0], [1, 1, 1, 1]], [[0, 0, 1, 1], [1, 1, 1, 1]], [[0, 1, 1, 0], [1, 1, 1, 1]]],
)
def test_the_last_real_token_is_found_by_the_mask(mask: list[list[int]]):
    hidden = torch.arange(8.0).reshape(2, 4, 1)
    last = max(i for i, one in enumerate(mask[0]) if one)
    assert last_real(hidden, torch.tensor(mask)).flatten().tolist() == [last, 7.0]
