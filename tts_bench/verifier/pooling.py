"""What a vLLM server with the pooling runner is asked, and how its answers are read and tried."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.pool import Unwell, send
from tts_bench.engine.server.probe import TEXT, Served, identify, spells_alike
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.verifier.backend import Loading, Numbers
from tts_bench.verifier.formats import HEAD_NUMBERS

if TYPE_CHECKING:
    import aiohttp

PATH = "/pooling"
START = (
    """--runner pooling --pooler-config '{"task": "token_classify", "tok_pooling_type": "ALL"}'"""
)
"""With what a server reads every token."""
Task = Literal["token_classify", "classify"]
"""Which numbers a server gives: of each token, or of the last one only."""
_EACH: Task = "token_classify"


class WrongCount(VerifierError):
    """More or fewer numbers than the head gives."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """How one model is read: under which name, at which tokens, how many numbers at each."""

    model: str
    """The model's name there."""
    task: Task
    width: int

    def body(self, ids: Sequence[int], *, activated: bool = False) -> dict[str, Any]:
        """The request for one text. Bytes in base64: per-token numbers of long texts are many."""
        return {
            "model": self.model,
            "input": list(ids),
            "add_special_tokens": False,
            "task": self.task,
            "use_activation": activated,
            "encoding_format": "base64",
            "embed_dtype": "float32",
            "endianness": "little",
        }

    def rows(self, answer: Mapping[str, Any], tokens: int, places: Sequence[int]) -> list[Numbers]:
        """The numbers at these tokens of all. Raises VerifierError if the answer has others."""
        try:
            [item] = answer["data"]
            raw = base64.b64decode(item["data"], validate=True)
            flat = struct.unpack(f"<{len(raw) // 4}f", raw)
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise VerifierError("its answer holds no numbers of a text") from error
        told = tokens if self.task == _EACH else 1
        if len(flat) != told * self.width:
            each = f"{self.width} at {'each token' if told > 1 else 'the last one'}"
            raise WrongCount(
                f"its answer holds {len(flat)} numbers for {tokens} tokens, not {each}"
            )
        starts = [(at - tokens + told) * self.width for at in places]
        rows = [flat[start : start + self.width] for start in starts]
        if not all(math.isfinite(number) for row in rows for number in row):
            raise VerifierError("the reward model's output is not a number: damaged weights?")
        return rows


@dataclass(frozen=True, slots=True)
class Trial:
    """What one server was seen to be."""

    served: Served
    pooling: Pooling
    compared: bool
    """Whether its tokenizer could be compared with the one here."""
    first: tuple[Numbers, ...]
    """Its numbers for a text that every server is asked."""


async def try_out(client: aiohttp.ClientSession, url: str, name: str, loading: Loading) -> Trial:
    """Read a little, and see what comes.

    Raises ModelError in one line: nobody there, another kind of server, another model, tokenizer
    or head, numbers that went through an activation.
    """
    try:
        served = await identify(client, url, "vllm", name)
    except ModelError as error:
        if "but not as" in str(error):
            said = f"reward models are read from vLLM's servers only, and {error}"
            raise ModelError(said) from error
        if "does not serve" in str(error):
            said = f"{error}; its name there is set by verifier.served_model"
            raise ModelError(said) from error
        raise
    tokenizer = HuggingFaceTokenizer(loading.tokenizer)
    alike = await spells_alike(client, url, served, tokenizer)
    if alike is False:
        raise ModelError(
            f"{url} spells a text in other tokens than {loading.model}: verifier.model must be the"
            " model that is served there"
        )
    asker = _Asker(client, url, loading, tokenizer.encode(TEXT))
    pooling, rows = await asker.first(name)
    if await asker.activates(pooling, rows):
        raise ModelError(
            f"{url} gives probabilities where logits are asked for: vLLM {served.version} is too"
            " old"
        )
    return Trial(served, pooling, alike is True, tuple(rows))


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks one server for the numbers of one text."""

    client: aiohttp.ClientSession
    url: str
    loading: Loading
    ids: tuple[int, ...]

    async def first(self, name: str) -> tuple[Pooling, list[Numbers]]:
        """The task that the server has, and its numbers. Raises ModelError if it has none."""
        # What vLLM makes of two tokens' logits is their difference.
        width = 1 if self.loading.head == "tokens" else HEAD_NUMBERS[self.loading.head]
        # A sequence classifier tells of its last token, if its server is not told otherwise.
        tasks: tuple[Task, ...] = ("classify",) if self.loading.last_only else ()
        refusal = None
        for task in (*tasks, _EACH):
            pooling = Pooling(name, task, width)
            try:
                return pooling, await self.ask(pooling)
            except EngineError as error:
                refusal = error
        if any(code in str(refusal) for code in ("(401)", "(403)")):
            raise ModelError(f"{refusal}; is the key in api_key_env right?") from refusal
        if "(404)" in str(refusal):
            raise ModelError(
                f"{self.url} serves {name} to generate, not as a reward model: start it with"
                f" {START}"
            ) from refusal
        raise ModelError(
            f"{self.url} does not tell of every token: start it with {START}"
        ) from refusal

    async def activates(self, pooling: Pooling, rows: Sequence[Numbers]) -> bool:
        """Whether the numbers are probabilities, though logits were asked for."""
        between = all(0 <= number <= 1 for row in rows for number in row)
        sums = pooling.width == 1 or all(math.isclose(sum(row), 1, abs_tol=1e-3) for row in rows)
        if self.loading.head == "reward" or not between or not sums:  # a reward has no activation
            return False
        return near(rows, await self.ask(pooling, activated=True), 1e-6)

    async def ask(self, pooling: Pooling, *, activated: bool = False) -> list[Numbers]:
        """Numbers. Raises EngineError if the server refuses, ModelError if they are unusable."""
        try:
            body = pooling.body(self.ids, activated=activated)
            answer = await send(self.client, self.url, PATH, body)
            tokens = len(self.ids)
            every = range(tokens) if pooling.task == _EACH else [tokens - 1]
            return pooling.rows(answer, tokens, every)
        except WrongCount as error:
            head = f"a head of kind {self.loading.head!r} has {pooling.width}"
            raise ModelError(
                f"{self.url}: {error}; {head}, and every token is told of with {START}"
            ) from error
        except (Unwell, VerifierError) as error:
            raise ModelError(f"{self.url}: a first reading failed: {error}") from error


def near(rows: Sequence[Numbers], others: Sequence[Numbers], distance: float) -> bool:
    """Whether two readings of one text give the same numbers, up to so much."""
    pairs = zip(rows, others, strict=True)
    return all(
        abs(a - b) <= distance for row, other in pairs for a, b in zip(row, other, strict=True)
    )
