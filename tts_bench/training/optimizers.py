"""Optimizers and learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tts_bench.training.config import TrainingConfig

BETAS = (0.9, 0.95)


class Float32Muon(torch.optim.Muon):
    """torch's Muon, with its iteration in float32 and for all matrices of a shape at once.

    torch iterates in bfloat16, which most CPUs emulate: a step of a model of 0.8 M parameters
    then takes longer than its gradients. The update is the same up to rounding.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """See torch.optim.Muon."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for one in group["params"]:
                if one.grad is not None:
                    shapes.setdefault(one.shape, []).append(one)
            for shape, matrices in shapes.items():
                updates = orthogonalise(
                    torch.stack([self._momentum(one, group) for one in matrices]),
                    group["ns_coefficients"],
                    group["ns_steps"],
                    group["eps"],
                )
                rate = group["lr"] * math.sqrt(max(1, shape[0] / shape[1]))
                for one, update in zip(matrices, updates, strict=True):
                    one.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)
        return loss

    def _momentum(self, matrix: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """The gradient with Nesterov's momentum."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(matrix.grad, 1 - group["momentum"])
        return matrix.grad.lerp(buffer, group["momentum"])


def orthogonalise(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, epsilon: float
) -> Tensor:
    """Nearly the orthogonal factor U V^T of each of `matrices` [number, rows, columns].

    The quintic Newton-Schulz iteration of Muon: singular values end up within about 0.7 to 1.2.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=epsilon)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonAndAdamW(Optimizer):
    """Muon for the hidden matrices and AdamW for everything else, as one optimizer.

    Muon orthogonalises the update of a matrix that maps hidden states to hidden states (Jordan
    et al. 2024); embeddings, heads, norms and biases are none. Groups and state belong to this
    object, so that checkpoints and learning-rate schedules see one optimizer.
    """

    def __init__(
        self, matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], **rates: float
    ) -> None:
        decay = rates["weight_decay"]
        on_cpu = all(one.device.type == "cpu" for one in matrices)
        muon = Float32Muon if on_cpu else torch.optim.Muon
        self._parts: dict[str, Optimizer] = {
            "muon": muon(matrices, lr=rates["muon"], weight_decay=decay),
            "adamw": AdamW(others, lr=rates["adamw"], betas=BETAS, weight_decay=decay),
        }
        groups = [
            {**group, "method": method}
            for method, part in self._parts.items()
            for group in part.param_groups
        ]
        super().__init__(groups, {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both. `closure` is evaluated once, first."""
        loss = None if closure is None else closure()
        for method, part in self._parts.items():
            # Loading a checkpoint replaces the groups and the state: they are looked up anew.
            part.param_groups = [group for group in self.param_groups if group["method"] == method]
            part.state = self.state
            part.step()
        return loss


def make_optimizer(model: Any, config: TrainingConfig) -> Optimizer:
    """The optimizer that the configuration asks for, over all parameters of the model."""
    if config.optimizer == "muon":
        matrices, others = split_parameters(model)
        return MuonAndAdamW(
            matrices,
            others,
            muon=config.learning_rate,
            adamw=config.adamw_learning_rate,
            weight_decay=config.weight_decay,
        )
    # Norms and biases (one dimension) are not decayed.
    learnt = [one for one in model.parameters() if one.requires_grad]
    wide = [one for one in learnt if one.ndim > 1]
    narrow = [one for one in learnt if one.ndim <= 1]
    groups = [
        {"params": wide, "weight_decay": config.weight_decay},
        {"params": narrow, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate, betas=BETAS)


def split_parameters(model: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden matrices, and the rest of what is not frozen.

    A hidden matrix is a parameter of two dimensions within the backbone that is no embedding;
    the head stands outside of the backbone.
    """
    embeddings = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    learnt = [one for one in model.parameters() if one.requires_grad]
    inner = {id(one) for one in model.base_model.parameters() if one.ndim == 2} - embeddings
    matrices = [one for one in learnt if id(one) in inner]
    return matrices, [one for one in learnt if id(one) not in inner]


def shape_of(config: TrainingConfig, step: int, steps: int) -> float:
    """The schedule's factor at a step: linear warm-up, then constant, linear or cosine decay."""
    warmup = config.warmup if config.warmup >= 1 else config.warmup * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1.0, steps - warmup))
    left = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.final_learning_rate + (1 - config.final_learning_rate) * left


def make_scheduler(
    optimizer: Optimizer, config: TrainingConfig, stage_factors: Sequence[float]
) -> LambdaLR:
    """Learning rate by step; `stage_factors` holds that of each step's stage."""
    steps = len(stage_factors)

    def factor(step: int) -> float:
        return stage_factors[min(step, steps - 1)] * shape_of(config, step, steps)

    return LambdaLR(optimizer, factor)
