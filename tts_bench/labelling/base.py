"""The labeller's port: a trace and a probe in, labels out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from tts_bench.labelling.label_file import Labels
from tts_bench.labelling.probe import Probe
from tts_bench.labelling.trace import Trace


@dataclass(frozen=True)
class LabellingBound:
    """An upper bound of what labelling takes, known before a model is loaded."""

    completions: int
    distinct: int
    """Completions that differ: traces that begin alike share the draws after that beginning."""
    how: str
    """Derivation of the number, for the user."""


class Labeller(Protocol):
    """A way to label steps. Implementations are frozen dataclasses of their settings."""

    name: ClassVar[str]
    needs_reference: ClassVar[bool]
    needs: ClassVar[Collection[str]]
    """What the engine must give for it, of `types.Need`."""

    @property
    def draws_repeatedly(self) -> bool:
        """Whether several draws of one prompt are meant to differ."""
        ...

    def estimate(self, traces: Sequence[Trace]) -> LabellingBound:
        """The most completions that the traces can take."""
        ...

    async def label(self, probe: Probe) -> Labels:
        """Label every step of the probe's trace, or raise TtsBenchError."""
        ...


def settings(labeller: Labeller) -> dict[str, Any]:
    """Name and settings of a labeller: labels of different ones do not go into one file."""
    return {"method": labeller.name, **asdict(labeller)}  # type: ignore[call-overload]
