"""What the command line changes in a document before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench.suite.yaml_document import YamlDocument, parse_address, parse_value


@dataclass(frozen=True)
class Overrides:
    """What the command line changes in a suite."""

    sets: Sequence[str] = ()
    """`a.b=YAML`, in order."""
    model: str | None = None
    seeds: Sequence[int] | None = None
    concurrency: int | None = None
    strategies: Sequence[str] = ()
    """Keep only these strategies."""

    def apply(self, document: YamlDocument) -> None:
        """Set what was given, noting what cannot be set as faults; later ones win."""
        set_values(document, self.sets)
        if self.model is not None:
            document.set(("engine", "model"), self.model, "--model")
        if self.seeds is not None:
            document.set(("seeds",), list(self.seeds), "--seeds")
        if self.concurrency is not None:
            document.set(("concurrency",), self.concurrency, "--concurrency")


def set_values(document: YamlDocument, sets: Sequence[str]) -> None:
    """Apply every `--set a.b=YAML`, in order; what cannot be set is noted as a fault."""
    for text in sets:
        address, equals, value = text.partition("=")
        option = f"--set {text}"
        if not equals or not address:
            document.faults.append(f"{option}: must be a.b=VALUE")
            continue
        try:
            document.set(parse_address(address), parse_value(value), option)
        except ValueError as error:
            document.faults.append(f"{option}: {error}")
