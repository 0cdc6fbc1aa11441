"""What a suite's engine gives, held against what its strategies, verifier and prompts need."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tts_bench.engine.base import Engine
from tts_bench.errors import UsageError
from tts_bench.prompt import Prompt
from tts_bench.strategy.base import Strategy
from tts_bench.suite.cells import Cell
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.suite.yaml_document import Address, YamlDocument
from tts_bench.types import Need, Sampling
from tts_bench.verifier.asking import ChatVerifier
from tts_bench.verifier.base import Verifier

_WHY: dict[Need, str] = {
    "exact_tokens": "goes on from the exact tokens of a text",
    "logprobs": "reads the policy's log-probabilities",
    "chosen_logprobs": "reads log-probabilities of tokens that it chooses",
}


@dataclass(frozen=True)
class Gives:
    """Notes in the suite's document, one line each, what cannot be done with its engines."""

    engine: Engine
    verifier_name: str
    verifier: Verifier
    registry: Registry = field(repr=False)
    document: YamlDocument = field(repr=False)

    def check_prompts(self, prompt: Prompt) -> None:
        """Prompts and the verifier's own engine."""
        if why_not := self.engine.lacks().get("exact_tokens"):
            wrong = {
                "chat": not prompt.chat,
                "prefill": bool(prompt.prefill),
                "template_kwargs": bool(prompt.template_kwargs),
            }
            self._refuse("prompt", wrong, why_not)
        lacks = (getattr(self.verifier, "engine", None) or self.engine).lacks()
        for need, why in lacks.items():
            if need in self.verifier.engine_needs:
                what = f"verifier {self.verifier_name!r} {_WHY[need]}"
                self.document.fault(("verifier",), f"{what}: {why}; `judge` can do without")
                return
        if isinstance(self.verifier, ChatVerifier) and (why_not := lacks.get("exact_tokens")):
            own = {
                "chat": not self.verifier.chat,
                "template_kwargs": bool(self.verifier.template_kwargs),
            }
            self._refuse("verifier", own, why_not)

    def check_sampling(self, sampling: Sampling, address: Address) -> bool:
        """Whether the engine can draw so; a line if not."""
        if why := self.engine.unable(sampling):
            field, _, reason = why.partition(": ")
            self.document.fault((*address, field), f"the engine cannot draw with it: {reason}")
        return why is None

    def check_cells(self, cells: Sequence[Cell], address: Address) -> None:
        """The cells of one entry; one line for all of them."""
        for cell in cells:
            needed = cell.strategy.needed()
            if not self.check_sampling(cell.sampling, address):
                return
            if fault := self._fault(needed, cell.name):
                self.document.fault((*address, "strategy"), f"{fault}; {self._working()}")
                return

    def _refuse(self, block: str, wrong: Mapping[str, bool], why: str) -> None:
        for key in (key for key, is_wrong in wrong.items() if is_wrong):
            self.document.fault((block, key), f"cannot be kept: {why}, by its own template")

    def _fault(self, needed: Collection[str], name: str) -> str | None:
        lacks = self.engine.lacks()
        for need, why in lacks.items():
            if need in needed:
                return f"{name} {_WHY[need]}: {why}"
        if "scores" in needed:
            for need, why in lacks.items():
                if need in self.verifier.needs:
                    asked = f"{name} asks verifier {self.verifier_name!r}, which"
                    return f"{asked} {_WHY[need]}: {why}"
        return None

    def _working(self) -> str:
        """The strategies that would work, for whoever has named one that does not."""
        return f"these work: {', '.join(self._possible()) or 'none'}"

    def _possible(self) -> Iterator[str]:
        for name in self.registry.names(STRATEGIES):
            try:
                cls = self.registry.load(STRATEGIES, name)
            except UsageError:
                continue  # a broken file in a folder of strategies is nobody's fault here
            if self._fault(_by_default(cls), name) is None:
                yield name


def _by_default(cls: type[Strategy]) -> frozenset[str]:
    """What a strategy needs with its default parameters, if it has some for all."""
    with contextlib.suppress(TypeError, ValueError):
        return cls().needed()
    return frozenset(cls.needs)
