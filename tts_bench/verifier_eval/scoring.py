"""Lets a verifier score texts, all in flight at once, through the store; adds up the cost."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.cost.ledger import Call, Meter
from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import (
    EngineError,
    ReplayMiss,
    SuiteError,
    UsageError,
    VerifierError,
)
from tts_bench.progress import Progress
from tts_bench.store.models import open_models
from tts_bench.suite.load import load_blocks
from tts_bench.suite.registry import ENGINES, VERIFIERS, Registry
from tts_bench.suite.yaml_document import read_yaml
from tts_bench.types import Candidate, Problem
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo
from tts_bench.verifier.cached import CachedVerifier

Outcome = Scoring | str
"""A scoring, or why there is none."""


@dataclass(frozen=True)
class Setting:
    """A verifier as a file describes it, and the policy's engine where it asks the policy."""

    name: str
    verifier: Verifier
    engine: Engine | None
    block: Mapping[str, Any]
    """The `verifier:` block as it was given."""

    @property
    def delimiter(self) -> str:
        """What ends a step for this verifier; a blank line if it does not say."""
        return str(getattr(self.verifier, "delimiter", "\n\n"))


def read_setting(path: Path, registry: Registry, sets: Sequence[str] = ()) -> Setting:
    """The verifier of a suite, or of a file with nothing but a `verifier:` block.

    The `engine:` block is used only if the verifier asks the policy's own model. Raises
    SuiteError with all faults.
    """
    document = read_yaml(path, str(path))
    if _is_bare(document.data, registry):
        raise SuiteError([f"{path}: a verifier's settings; put them under the key `verifier:`"])
    blocks = load_blocks(document, registry, [VERIFIERS, ENGINES], sets)
    if "verifier" not in blocks:
        raise SuiteError([f"{path}: missing key 'verifier': what to evaluate"])
    name, verifier = blocks["verifier"]
    engine = blocks["engine"][1] if "engine" in blocks and asks_policy(verifier) else None
    return Setting(name, verifier, engine, document.data["verifier"])


def _is_bare(data: Any, registry: Registry) -> bool:
    """Whether a file holds what belongs under `verifier:` without that key."""
    if not isinstance(data, dict) or "verifier" in data:
        return False
    name = str(data.get("name"))
    return "model" in data or ".py:" in name or name in registry.names(VERIFIERS)


def asks_policy(verifier: Verifier) -> bool:
    """Whether the verifier has a place for an engine of its own, and none in it."""
    if not dataclasses.is_dataclass(verifier):
        return False
    named = {one.name for one in fields(verifier)}
    return "engine" in named and getattr(verifier, "engine", None) is None


class NoPolicy(Engine):
    """Stands for the policy if no engine is given: whoever asks it is told so."""

    @property
    def info(self) -> EngineInfo:
        raise _lacking()

    @property
    def tokenizer(self) -> Tokenizer:
        raise _lacking()

    async def start(self) -> EngineInfo:
        raise _lacking()

    async def close(self) -> None:
        """Nothing to free."""

    async def generate(self, request: Request) -> Completion:
        raise _lacking()


def _lacking() -> UsageError:
    return UsageError("this verifier asks the policy's model: name it in an `engine:` block")


@dataclass(frozen=True)
class Spent:
    """Costs of an evaluation's scores, stored ones in full; FLOPs as in `types.Usage`."""

    requests: int
    prompt_tokens: int | None
    prompt_tokens_ideal: int | None
    completion_tokens: int | None
    """Tokens are None where an endpoint did not count them."""
    flops_logical: float | None
    flops_ideal: float | None
    seconds: float
    """Wall time of this session, in which stored scores take none."""


def _sum(counts: Sequence[int | None]) -> int | None:
    """None if one of them is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _read(call: Call) -> int:
    """Tokens of a prompt, as far as they are counted."""
    if call.completion_tokens is None:
        return 0
    return len(call.prompt_ids) if call.prompt_tokens is None else call.prompt_tokens


class Scorer:
    """A started verifier after a generation store."""

    def __init__(
        self, verifier: CachedVerifier, verifier_info: VerifierInfo, tokenizer: Tokenizer | None
    ):
        self._verifier = verifier
        self.verifier_info = verifier_info
        self.tokenizer = tokenizer
        """The policy's, if the verifier asks the policy."""

    async def score(
        self, texts: Sequence[tuple[Problem, Candidate]], progress: Progress
    ) -> tuple[list[Outcome], Spent]:
        """The outcome of each text, in order; the verifier's failure at one stops no other."""
        began, read = time.monotonic(), 0

        async def one(problem: Problem, candidate: Candidate) -> Outcome:
            nonlocal read
            outcome: Outcome
            try:
                [outcome] = await self._verifier.score(problem, [candidate])
                read += sum(_read(call) for call in outcome.calls)
            except (VerifierError, EngineError) as error:
                outcome = str(error)
            except ReplayMiss as miss:
                raise miss.at(problem.id) from miss
            progress.advance(failed=isinstance(outcome, str), tokens=read)
            return outcome

        async with progress.counting(len(texts), 0, lambda: read):
            outcomes = await in_flight(one(*text) for text in texts)
        problems = [problem.id for problem, _ in texts]
        return outcomes, self._spent(zip(problems, outcomes, strict=True), time.monotonic() - began)

    def _spent(self, outcomes: Iterable[tuple[str, Outcome]], seconds: float) -> Spent:
        """As the ledger charges: a meter for each problem, within which prefixes are shared."""
        calls: dict[str, list[Call]] = defaultdict(list)
        for problem, outcome in outcomes:
            calls[problem] += outcome.calls if isinstance(outcome, Scoring) else ()
        usages = []
        for made in calls.values():
            meter = Meter(self.verifier_info.shape, has_model=self.verifier_info.model is not None)
            meter.charge(made)
            usages.append(meter.usage)
        known = self.verifier_info.model is None or self.verifier_info.shape is not None
        return Spent(
            requests=sum(usage.requests for usage in usages),
            prompt_tokens=_sum([usage.prompt_tokens_logical for usage in usages]),
            prompt_tokens_ideal=_sum([usage.prompt_tokens_ideal for usage in usages]),
            completion_tokens=_sum([usage.completion_tokens for usage in usages]),
            flops_logical=sum(usage.flops_logical or 0.0 for usage in usages) if known else None,
            flops_ideal=sum(usage.flops_ideal or 0.0 for usage in usages) if known else None,
            seconds=round(seconds, 3),
        )


@contextlib.asynccontextmanager
async def scorer(
    setting: Setting, generations: Path, progress: Progress, *, replay: bool = False
) -> AsyncIterator[Scorer]:
    """Start the verifier (and the policy, if it is asked) after the store, and close it."""
    async with open_models(generations, progress) as models:
        policy: Engine = NoPolicy()
        if setting.engine is not None:
            policy = await models.engine(setting.engine, replay=replay)
        verifier, verifier_info = await models.verifier(
            setting.name, setting.verifier, policy, replay=replay
        )
        yield Scorer(verifier, verifier_info, None if setting.engine is None else policy.tokenizer)
