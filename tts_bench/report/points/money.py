"""What attempts cost in dollars, from their tokens and FLOPs and the run's prices.

By the token: what was read and not reported as cached, at `input`; what was, at `cached_input`;
what was written, at `output`. By the GPU hour: what the run would have cost if no attempt had
taken a draw from the store, spread over attempts by their FLOPs (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tts_bench.cost.price import Price
from tts_bench.errors import StoreError
from tts_bench.report.points.cost import Cost, added
from tts_bench.store.files import first_fault
from tts_bench.store.manifest import MODEL_KEYS, RunManifest

Rate = Callable[[Cost], float | None]
_SHARED = Price(gpu_hour="shared")
_PRICE = TypeAdapter(Price | None)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of policy and verifier, and the time and tokens that hours are spread over."""

    policy: Price | None = None
    verifier: Price | None = None
    seconds: float = 0.0
    """Wall time of the sessions that generated tokens."""
    generated: int = 0
    """Tokens that the policy generated in that time, not counting those from the store."""

    @property
    def known(self) -> bool:
        """Whether anything has a price."""
        return self.policy is not None or self.verifier is not None

    @property
    def phrases(self) -> list[str]:
        """Each price in words."""
        sides = {"policy": self.policy, "verifier": self.verifier}
        return [f"{name} {_in_words(price)}" for name, price in sides.items() if price is not None]

    def described(self) -> dict[str, Any]:
        """The prices as plain values, without what is not set."""
        sides = {"policy": self.policy, "verifier": self.verifier}
        return {
            name: {key: value for key, value in asdict(price).items() if value is not None}
            for name, price in sides.items()
            if price is not None
        }


def _in_words(price: Price) -> str:
    if price.gpu_hour == "shared":
        return "on the policy's GPUs"
    if price.gpu_hour is not None:
        many = "a GPU" if price.gpus == 1 else f"each of {price.gpus:g} GPUs"
        return f"${price.gpu_hour:g} an hour for {many}"
    named = {
        "input": price.input,
        "cached input": price.cached_input,
        "output": price.output,
    }
    parts = [f"{name} ${value:g}" for name, value in named.items() if value is not None]
    return f"{', '.join(parts)} a million tokens"


def read_prices(manifest: RunManifest, instead: Mapping[str, Price] | None = None) -> Prices:
    """Prices that a run's suite states; `instead` has others for `policy` or `verifier`.

    A verifier that asks the policy's model, and has no price of its own, costs what that does.
    Raises StoreError for a manifest with a senseless price.
    """
    engine, verifier = (manifest.resolved.get(key) for key in ("engine", "verifier"))
    own = verifier.get("engine") if isinstance(verifier, dict) else None
    policy, scorer = _stated(engine), _stated(verifier) or _stated(own)
    for side, price in (instead or {}).items():
        policy, scorer = (price, scorer) if side == "policy" else (policy, price)
    if scorer is None and policy is not None and not own and _asks_policy(manifest):
        scorer = policy if policy.gpu_hour is None else _SHARED
    timed = [one for one in _sessions(manifest) if one is not None and one.generated_tokens > 0]
    return Prices(
        policy,
        scorer,
        sum(one.seconds for one in timed),
        sum(one.generated_tokens for one in timed),
    )


def _sessions(manifest: RunManifest) -> Iterable[Any]:
    return (manifest.throughput, *(one.throughput for one in manifest.earlier_sessions))


def _asks_policy(manifest: RunManifest) -> bool:
    """Whether the verifier's model is that of the engine."""
    model = manifest.verifier.model
    mine = manifest.engine
    return model is not None and all(getattr(model, k) == getattr(mine, k) for k in MODEL_KEYS)


def _stated(block: Any) -> Price | None:
    if not isinstance(block, dict):
        return None
    try:
        return _PRICE.validate_python(block.get("price"))
    except ValidationError as error:
        raise StoreError(f"the manifest's price: {first_fault(error)[:200]}") from error


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars for the work of policy and of verifier, as functions of it; None if not known."""

    policy: Rate | None = None
    verifier: Rate | None = None

    def of_policy(self, cost: Cost) -> Cost:
        """The cost of the policy's work, with its dollars."""
        return self._priced(cost, self.policy)

    def of_verifier(self, cost: Cost) -> Cost:
        """The cost of the verifier's work, with its dollars."""
        return self._priced(cost, self.verifier)

    def _priced(self, cost: Cost, rate: Rate | None) -> Cost:
        if self.policy is None and self.verifier is None:
            return cost
        if not cost.requests and cost.completion_tokens == cost.prompt_tokens_logical == 0:
            return replace(cost, dollars=0.0)  # it was not asked; else a recording does not tell
        return replace(cost, dollars=None if rate is None else rate(cost))


def make_rates(prices: Prices, work: Iterable[tuple[Cost, Cost]]) -> Rates:
    """The rates of a run, of whose attempts `work` has what policy and verifier did for each."""
    totals = _add_up(work) if _hourly(prices.policy) or _hourly(prices.verifier) else _Totals()
    shared = prices.verifier is not None and prices.verifier.gpu_hour == "shared"
    policy = verifier = None
    if prices.policy is not None:
        policy = _rate(prices.policy, prices, totals, totals.policy, shared)
    if shared:
        # A machine that both use is paid for by the FLOPs of both, which alone compare them.
        verifier = policy if _hourly(prices.policy) else None
    elif prices.verifier is not None:
        verifier = _rate(prices.verifier, prices, totals, totals.verifier, False)
    return Rates(policy, verifier)


def _hourly(price: Price | None) -> bool:
    return price is not None and price.gpu_hour is not None


@dataclass(slots=True)
class _Totals:
    """What all attempts of a run took, each for itself."""

    written: float | None = 0.0
    """Completion tokens of the policy."""
    policy: float | None = 0.0
    verifier: float | None = 0.0
    """FLOPs; None if they are not known of an attempt."""


def _add_up(work: Iterable[tuple[Cost, Cost]]) -> _Totals:
    totals = _Totals()
    for policy, verifier in work:
        totals.written = added(totals.written, policy.completion_tokens)
        totals.policy = added(totals.policy, policy.flops_ideal)
        totals.verifier = added(totals.verifier, verifier.flops_ideal)
    return totals


def _rate(
    price: Price, prices: Prices, totals: _Totals, flops: float | None, shared: bool
) -> Rate | None:
    if price.gpu_hour is None:
        return lambda cost: price.of_tokens(
            cost.prompt_tokens_logical, cost.prompt_tokens_cached, cost.completion_tokens
        )
    spent = price.of_hours(prices.seconds)
    if spent is None or not prices.generated or not totals.written:
        return None
    whole = spent * totals.written / prices.generated
    if shared:
        flops = added(flops, totals.verifier)
    if flops:
        per_flop = whole / flops
        return lambda cost: None if cost.flops_ideal is None else per_flop * cost.flops_ideal
    if shared or price is not prices.policy:
        return None
    per_token = whole / totals.written
    return lambda cost: (
        None if cost.completion_tokens is None else per_token * cost.completion_tokens
    )
