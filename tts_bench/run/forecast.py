"""What a run would do and cost, before a model is loaded: the text of `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tts_bench.cost.flops import ModelShape, parameters
from tts_bench.cost.price import in_dollars
from tts_bench.cost.published import SHAPES
from tts_bench.engine.base import Engine
from tts_bench.engine.memory import available_memory, gpu_memory
from tts_bench.engine.ray.engine import RayEngine
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.weights import check_model_exists, stored_shape, weight_bytes
from tts_bench.errors import StoreError
from tts_bench.run.contacts import contacts, models_of, placement, replicas, server_urls
from tts_bench.run.estimate import GPUS, Expected, expect
from tts_bench.run.plan import Plan
from tts_bench.store.runs import RunStore
from tts_bench.suite.load import Suite
from tts_bench.types import Sampling
from tts_bench.verifier.reward_model import RewardModel


def forecast(plan: Plan) -> str:
    """Cells, attempts, an upper bound of tokens and, from an earlier run, of hours.

    Raises ModelError for a model folder that is not there; a hub id may still be downloaded.
    """
    suite = plan.suite
    check_models_exist(suite)
    lines = [
        f"{suite.name:<9} {len(plan.items)} problems x {len(suite.cells)} cells x "
        f"{len(suite.seeds)} seeds = {plan.total} attempts ({len(plan.done)} already done)",
        f"data      {plan.dataset.source} {plan.dataset.revision}".rstrip(),
        *([f"answers   {kind['name']}"] if (kind := suite.resolved.get("answers")) else []),
        f"model     {getattr(suite.engine, 'model', '')} ({type(suite.engine).__name__})",
        f"sampling  {_sampling(suite)}",
        *(f"contacts  {line}" for line in contacts(suite)),
        *(f"replicas  {line}" for line in replicas(suite)),
        *(f"memory    {line}" for line in _memory(suite)),
        *(f"cell      {cell.id}" for cell in suite.cells),
        f"cost      {_cost(plan)}",
        *(f"expected  {line}" for line in _expected(plan)),
        f"prompt    {suite.prompt.system or ''}\n{suite.prompt.text(plan.items[0].problem)}",
        "nothing was run.",
    ]
    return "\n".join(lines)


def _sampling(suite: Suite) -> str:
    """The suite's own settings, and which of them its model's makers recommend."""
    settings = suite.resolved["sampling"].items()
    said = ", ".join(f"{name}={value}" for name, value in settings)
    return f"{said}; {suite.recommended}" if suite.recommended else said


def check_models_exist(suite: Suite) -> None:
    """Raises ModelError for a model folder that is not there; a hub id may still be downloaded."""
    for model in models_of(suite).values():
        if isinstance(model, RayEngine) and model.address is not None:
            continue  # the machines of its cluster may have other folders than this one
        if isinstance(model, TransformersEngine | VLLMEngine | RayEngine | RewardModel):
            check_model_exists(model.model)


def _memory(suite: Suite) -> list[str]:
    """Whether the weights of policy and verifier fit side by side, as far as that is known."""
    models = {name: one for name, one in models_of(suite).items() if not _is_placed(one)}
    sizes = {name: _weights(one) for name, one in models.items()}
    if not models:
        return []
    known = sum(size for size, _ in sizes.values() if size is not None)
    parts = [
        f"{name} {_gib(size)}{why}" if size else name + why for name, (size, why) in sizes.items()
    ]
    gpu = gpu_memory()
    room = gpu if gpu is not None else available_memory()
    where = "of GPU memory" if gpu is not None else "of memory free"
    lines = [f"{' + '.join(parts)} of weights" + (f"; {_gib(room)} {where}" if room else "")]
    if room is not None and known > room:
        lines.append("the weights do not fit; a smaller verifier, or one on another device?")
    shares = [one.gpu_memory_utilization for one in models.values() if _is_vllm(one)]
    if gpu is not None and sum(shares) > 1:
        lines.append(
            f"gpu_memory_utilization adds up to {sum(shares):.2f}: lower one of the two, or the"
            " second model finds no room"
        )
    return lines


def _is_placed(model: Any) -> bool:
    """Whether a server has found room for it, or Ray does."""
    return bool(server_urls(model)) or placement(model) is not None


def _weights(model: Any) -> tuple[int | None, str]:
    """Bytes of a model's weights, and how they are known: as stored here, or as published."""
    stored = weight_bytes(model.model, getattr(model, "revision", None))
    if stored is not None:
        return stored, ""
    shape = SHAPES.get(model.model)
    if shape is None:
        return None, " not here yet"
    wide = getattr(model, "dtype", "auto") == "float32"
    return parameters(shape).total * (4 if wide else 2), " (not here yet; by its published shape)"


def _is_vllm(model: Any) -> bool:
    return isinstance(model, VLLMEngine) or getattr(model, "backend", None) == "vllm"


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"


def _cost(plan: Plan) -> str:
    tokens, unknown = _most_tokens(plan)
    bound = f"at most {tokens:,} completion tokens"
    if unknown:
        bound += f", and those of {', '.join(unknown)} (no bound known without a budget)"
    rate = _earlier_rate(plan)
    if rate:
        bound += f" (about {tokens / rate / 3600:.1f} h at {rate:,.0f} tok/s, as last measured)"
    return bound


def _expected(plan: Plan) -> Iterator[str]:
    """Likely tokens, and GPU hours if the shapes of the models are known."""
    expected = expect(plan, _earlier_runs(plan))
    if expected is None:
        return
    shortest, longest = (round(length) for length in expected.lengths)
    millions = [tokens / 1e6 for tokens in expected.tokens]
    why = "as in the last run" if expected.measured else "15 to 50 % of max_tokens, a guess"
    yield f"{_range(millions, 2)} M tokens (solutions of {shortest} to {longest} tokens: {why})"
    yield from _dollars(plan, expected)
    models = models_of(plan.suite)
    shapes = [_shape(one) for one in models.values()]
    if not shapes or None in shapes:
        return
    policy, verifier = shapes[0], shapes[1] if len(shapes) > 1 else None
    assert policy is not None
    hours = [
        f"{_range([s / 3600 for s in expected.seconds(gpu, policy, verifier)], 2)} h on one {gpu}"
        for gpu in GPUS
    ]
    yield f"{', '.join(hours)} (an estimate from FLOPs: docs/runs.md)"


def _dollars(plan: Plan, expected: Expected) -> Iterator[str]:
    """What that would cost, of what has a price in the suite."""
    verifier = plan.suite.verifier
    own = getattr(verifier, "engine", None)
    prices = {
        "policy": plan.suite.engine.price,
        "verifier": verifier.price or (own.price if isinstance(own, Engine) else None),
    }
    for name, price in prices.items():
        if price is None or price.gpu_hour == "shared":
            continue
        reading = name == "verifier"
        dollars = expected.dollars(price, _earlier_rate(plan), reading=reading)
        what = "verifier, which reads each solution once" if reading else "policy"
        if dollars is None:
            why = "no earlier run measured how fast the policy generates"
            if price.gpu_hour is None:
                why = "input or output has no price"
            yield f"no dollars of the {name}: {why}"
        else:
            yield f"{' to '.join(dict.fromkeys(map(in_dollars, dollars)))} for the {what}"


def _range(values: Sequence[float], digits: int) -> str:
    low, high = (f"{value:,.{digits}f}" for value in values)
    return low if low == high else f"{low} to {high}"


def _shape(model: Any) -> ModelShape | None:
    """Shape of a model: of its own config if it is here, else as published."""
    given = model.shape if isinstance(model, ServerEngine) and model.dialect == "chat" else None
    if isinstance(given, ModelShape):
        return given
    if isinstance(given, str):
        return stored_shape(given) or SHAPES.get(given)
    return stored_shape(model.model, getattr(model, "revision", None)) or SHAPES.get(model.model)


def _most_tokens(plan: Plan) -> tuple[int, list[str]]:
    """Upper bound of what is missing, and the cells that have none.

    Pools that strategies share count once, except under a budget, which cuts each differently.
    """
    budget = plan.suite.budget.tokens
    pools: dict[tuple[str, int, Sampling], int] = {}
    single, unknown = 0, dict[str, None]()
    for cell, item, seed in plan.missing():
        most = cell.strategy.most_tokens(cell.sampling)
        if budget is not None:
            single += budget if most is None else min(most, budget)
        elif cell.at and most is not None:
            pool = (item.problem.id, seed, cell.sampling)
            pools[pool] = max(pools.get(pool, 0), most)
        elif most is not None:
            single += most
        else:
            unknown[cell.id] = None
    return single + sum(pools.values()), list(unknown)


def _earlier_rate(plan: Plan) -> float | None:
    """Tokens per second of the newest run of this suite's name with the same model."""
    for run in _earlier_runs(plan):
        measured = run.read_manifest().throughput
        if measured and measured.seconds and measured.generated_tokens:
            return measured.generated_tokens / measured.seconds
    return None


def _earlier_runs(plan: Plan) -> Iterator[RunStore]:
    """Runs of this suite's name with the same engine, the newest first."""
    for path in sorted(plan.run.folder.parent.glob("*Z_*/manifest.json"), reverse=True):
        run = RunStore(path.parent)
        try:
            resolved = run.read_manifest().resolved
        except StoreError:
            continue  # a run that cannot be read forecasts nothing; `ls runs` shows it
        if _unpriced(resolved.get("engine")) == _unpriced(plan.suite.resolved.get("engine")):
            yield run


def _unpriced(block: Any) -> Any:
    """A block without its price, which another run may have another of."""
    return {k: v for k, v in block.items() if k != "price"} if isinstance(block, dict) else block
