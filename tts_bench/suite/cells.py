"""From an entry of a suite's `strategies` to cells: every combination of its sweeps."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tts_bench.strategy.base import Strategy
from tts_bench.suite.fields import combinations, field_types, instantiate, sweep, unknown_key
from tts_bench.suite.registry import draws_one_pool
from tts_bench.suite.yaml_document import Address, YamlDocument
from tts_bench.types import Sampling

MOST = 1_000_000
"""Of whatever a strategy counts: candidates, steps, rounds. Tokens may be more."""


@dataclass(frozen=True)
class Cell:
    """One strategy with one value of each of its parameters: a row of the grid.

    A pooled cell stands for all `n` of its sweep: it runs once, at the largest, and `at` lists
    the values that are reported.
    """

    id: str
    name: str
    strategy: Strategy
    sampling: Sampling
    params: Mapping[str, Any]
    at: tuple[int, ...] = ()
    selector: str | None = None

    def describe(self) -> dict[str, Any]:
        """The cell as the manifest records it."""
        return {
            "id": self.id,
            "strategy": self.name,
            "params": dict(self.params),
            "sampling": self.sampling.settings,
            "pooled": bool(self.at),
            "selector": self.selector,
            "at": list(self.at),
            # Also if it is a default, which `params` does not name.
            "n": getattr(self.strategy, "n", None),
        }


def expand(
    cls: type[Any],
    entry: Mapping[str, Any],
    address: Address,
    sampling: Sampling | None,
    document: YamlDocument,
    *,
    budgeted: bool = False,
) -> list[Cell]:
    """All cells of one entry; notes faults in the document.

    Keys are the strategy's own fields or fields of `Sampling`, which then replace the suite's
    for this entry. Under a budget each n is a cell of its own: the budget shortens the draws of
    a large pool more than those of a small one, so one cannot stand for the other.
    """
    before = len(document.faults)
    sweeps = _sweeps(cls, entry, address, document)
    sizes: tuple[int, ...] = ()
    selector = None
    if draws_one_pool(cls):
        selector = None if cls.has_own_rule() else cls.selector
        sizes = tuple(sorted(set(sweeps.get("n", [_default(cls, "n")])) - {None}))
        sweeps["n"] = list(sizes if budgeted else sizes[-1:])
        for n in sizes:
            if n < 1:
                document.fault((*address, "n"), f"must be at least 1, not {n}")
    if len(document.faults) > before or sampling is None:
        return []
    own = field_types(cls)
    cells = []
    for params in combinations(sweeps):
        at = (params["n"],) if sizes and budgeted else sizes
        mine = {key: value for key, value in params.items() if key in own}
        drawn = {key: value for key, value in params.items() if key not in own}
        strategy = instantiate(cls, mine, address, document)
        cell_sampling = instantiate(Sampling, asdict(sampling) | drawn, address, document)
        if strategy is not None and cell_sampling is not None:
            name = str(entry["strategy"])
            cells.append(
                Cell(_cell_id(name, params), name, strategy, cell_sampling, params, at, selector)
            )
    return cells


def _sweeps(
    cls: type[Any], entry: Mapping[str, Any], address: Address, document: YamlDocument
) -> dict[str, list[Any]]:
    known = {**field_types(Sampling), **field_types(cls)}
    counts = {name for name in field_types(cls) if not re.search("tokens|budget|seed", name)}
    sweeps = {}
    for key, value in entry.items():
        if key == "strategy":
            continue
        if key not in known:
            unknown_key(document, (*address, key), list(known))
            continue
        sweeps[key] = sweep(known[key], value, (*address, key), document)
        if key in counts:
            _check_counts(sweeps[key], (*address, key), document)
    for key in field_types(cls):
        if key not in entry and _default(cls, key) is dataclasses.MISSING:
            document.fault(address, f"missing key {key!r}")
    return sweeps


def _check_counts(values: list[Any], address: Address, document: YamlDocument) -> None:
    """Refuse numbers of candidates, steps or rounds that no attempt could ever make."""
    for value in values:
        if type(value) is int and value > MOST:
            document.fault(address, f"must be at most {MOST}, not {value}")


def _default(cls: type[Any], name: str) -> Any:
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _cell_id(name: str, params: Mapping[str, Any]) -> str:
    """`best_of_n?n=16&temperature=0.8`: the strategy and what the suite says of it."""
    if not params:
        return name
    return f"{name}?{'&'.join(_shown(params))}"


def _shown(params: Mapping[str, Any]) -> Iterable[str]:
    for key in sorted(params):
        value = params[key]
        yield f"{key}={value if isinstance(value, str) else json.dumps(value)}"
