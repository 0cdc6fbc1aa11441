"""A server that answers as vLLM's pooling runner does, without a model, and badly if told to."""

from __future__ import annotations

import base64
import random
import struct
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from stand_in_server import StandIn

REFUSAL = "Try switching the model's pooling_task via --pooler-config.task"


@dataclass
class PoolingStandIn(StandIn):
    """Its numbers are drawn from a generator that the tokens up to each place seed."""

    path: str = "/pooling"
    task: str = "token_classify"
    width: int = 2
    activates: bool = False
    """Whether it gives probabilities, whatever it is asked for."""
    weights: int = 0
    """Another number is another model."""

    def _vllm(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["task"] != self.task:
            error = {"error": {"message": f"{REFUSAL} {asked['task']}."}}
            raise web.HTTPBadRequest(text=str(error).replace("'", '"'))
        ids: list[int] = asked["input"]
        places = range(len(ids)) if self.task == "token_classify" else [len(ids) - 1]
        rows = [self.numbers(ids[: at + 1]) for at in places]
        if asked["use_activation"] or self.activates:
            rows = [[abs(number) / sum(map(abs, row)) for number in row] for row in rows]
        return {"data": [{"index": 0, "data": packed([one for row in rows for one in row])}]}

    def numbers(self, ids: list[int]) -> list[float]:
        """What its head gives after these tokens."""
        rng = random.Random(f"{self.weights} {ids}")
        return [rng.uniform(-3, 3) for _ in range(self.width)]


def packed(numbers: list[float]) -> str:
    """Numbers as the server writes them: 32 bits each, the lowest byte first, in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
