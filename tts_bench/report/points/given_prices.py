"""Prices of the command line, in place of those that suites state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tts_bench.cost.price import PRICE_KEYS, Price
from tts_bench.errors import UnknownName, UsageError, did_you_mean
from tts_bench.store.files import first_fault

_SIDES = ("policy", "verifier")
_PRICE = TypeAdapter(Price)


@dataclass(frozen=True)
class GivenPrices:
    """Prices by run (its label; empty: of every run) and by `policy` and `verifier`."""

    by_run: Mapping[str, Mapping[str, Price]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> GivenPrices:
        """Prices as in `input=2.5,output=10`, `verifier:gpu_hour=2`, `small/policy:input=1`.

        What names neither side is of the policy. Raises UsageError.

        >>> GivenPrices.parse(["input=2,output=8"]).of("any")["policy"].output
        8.0
        """
        found: dict[str, dict[str, Price]] = defaultdict(dict)
        for text in texts:
            whose, colon, settings = text.rpartition(":")
            run, _, side = whose.rpartition("/")
            if colon and side not in _SIDES:
                raise UsageError(f"--price {text}: {side} is neither policy nor verifier")
            side = side or "policy"
            if side in found[run]:
                raise UsageError(f"--price {text}: the {side} has a price already")
            found[run][side] = _price(text, settings)
            if side == "policy" and found[run][side].gpu_hour == "shared":
                raise UsageError(f"--price {text}: gpu_hour=shared is for a verifier")
        return cls(dict(found))

    def of(self, run: str = "") -> dict[str, Price]:
        """The prices of a run, its own before those of all."""
        return {**self.by_run.get("", {}), **self.by_run.get(run, {})}

    def check_runs(self, labels: Sequence[str]) -> None:
        """Raise UsageError for prices of a run that is not among these."""
        for run in self.by_run:
            if run and run not in labels:
                known = [label for label in labels if label]
                hint = did_you_mean(run, known) or f"; the runs are {', '.join(known)}"
                raise UsageError(f"--price {run}/...: no run of that name{hint if known else ''}")


def _price(text: str, settings: str) -> Price:
    values: dict[str, Any] = {}
    for part in settings.split(","):
        key, _, value = part.strip().partition("=")
        if key not in PRICE_KEYS:
            raise UsageError(f"--price {text}: {UnknownName('price', key, PRICE_KEYS)}")
        values[key] = value
    try:
        return _PRICE.validate_python(values)
    except ValidationError as error:
        raise UsageError(f"--price {text}: {first_fault(error)[:200]}") from None
