"""Failures of single requests, kept beside the completions: a replay fails as the run did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tts_bench.errors import EngineError, ModelLost, ReplayMiss, UsageError, VerifierError
from tts_bench.secrets.masking import hide

_PREFIX = "failure|"
_LONGEST = 1000
_OF_THE_RUN = (UsageError, ModelLost, ReplayMiss)


class FactStore(Protocol):
    """The part of a generation store that is needed here."""

    async def get_facts(self, prefix: str) -> dict[str, Any]: ...
    async def put_facts(self, prefix: str, facts: Mapping[str, Any]) -> None: ...


def told(error: Exception, kind: type[EngineError] | type[VerifierError]) -> Exception:
    """The error as one of a kind, which a replay can raise too; the same if it is one already.

    What concerns the whole run stays what it is.
    """
    if type(error) is kind or isinstance(error, _OF_THE_RUN):
        return error
    return kind(f"{type(error).__name__}: {error}")


async def keep(store: FactStore, keys: Sequence[str], error: Exception) -> None:
    """Store what the request for these keys has failed with, unless it concerns the whole run."""
    if not isinstance(error, _OF_THE_RUN):
        await store.put_facts(_PREFIX, dict.fromkeys(keys, hide(str(error))[:_LONGEST]))


async def recall(store: FactStore, keys: Sequence[str]) -> str | None:
    """What the request for one of these keys failed with when it was made; None if it never was."""
    for key in keys:
        if found := await store.get_facts(_PREFIX + key):
            return str(found[""])
    return None
