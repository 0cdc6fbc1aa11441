"""The verifier's port: candidates in, opinions and their price out.

A verifier is used in the search, costs compute and never sees the reference answer; the
grader runs after the search, is free and alone sees the reference.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar

from tts_bench.concurrency.upkeep import Upkeep
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call
from tts_bench.cost.price import Price
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.secrets.masking import masked
from tts_bench.types import Candidate, Problem, Score


@dataclass(frozen=True, slots=True)
class Scoring:
    """One score, and the model calls that it took."""

    score: Score
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifierInfo:
    """What a started verifier says of itself; goes into the manifest and every score's key."""

    recipe: str
    """The settings that decide the scores (see `Verifier.settings_key`)."""
    model: EngineInfo | None = None
    """The model that it runs; None if it runs none."""

    @property
    def shape(self) -> ModelShape | None:
        """Shape of its model, if that is known."""
        return self.model.shape if self.model else None

    @property
    def identity(self) -> str:
        """What decides which score a candidate gets: part of every stored score's key."""
        return f"{self.recipe}|{self.model.identity}" if self.model else self.recipe


def _plain(value: Any) -> Any:
    if isinstance(value, Engine):
        return value.settings_key()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


class Verifier(abc.ABC):
    """Scores candidates. Subclasses are frozen dataclasses of their settings.

    Constructors only store; `start` loads and `close` frees. Foreign exceptions are translated
    into `ModelError` (at start), `VerifierError` (at one call of `score`) and `VerifierDied` (at
    one call, if no other can be answered either). One that has died is closed and started again.
    """

    speed_only: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how fast scores come, but not which."""
    needs: ClassVar[Collection[str]] = ()
    """What the policy's engine must give for it, of `types.Need`."""
    engine_needs: ClassVar[Collection[str]] = ()
    """What the engine that it asks must give for it: its own, or the policy's."""
    upkeep: Upkeep = Upkeep()
    """What is done if it dies or falls silent; no setting of its own, but keys of its block."""
    price: Price | None = None
    """What its model's work costs; likewise a key of its block."""
    say: Callable[[str], None] = staticmethod(lambda _: None)
    """Tells the user a line of what happens meanwhile; set by whoever runs it."""

    def settings_key(self) -> str:
        """The settings that decide the scores, known before anything is loaded."""
        if not is_dataclass(self):
            return type(self).__name__
        kept = {
            field.name: _plain(getattr(self, field.name))
            for field in fields(self)
            if field.init and field.name not in self.speed_only
        }
        kept = masked(kept)  # whose key it is changes nothing, and this is stored
        return f"{type(self).__name__} {json.dumps(kept, sort_keys=True, default=str)}"

    async def start(self, policy: Engine) -> VerifierInfo:
        """Load what is needed; nothing by default.

        `policy` is the started engine of the policy, for a verifier that asks the same model.
        Raises ModelError, or MissingExtra if a library is absent.
        """
        return VerifierInfo(self.settings_key())

    async def close(self) -> None:  # noqa: B027 (many verifiers have nothing to free)
        """Free what `start` loaded; nothing by default."""

    @abc.abstractmethod
    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate, in order. Raises VerifierError."""
