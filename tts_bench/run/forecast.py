"""What a run would do and cost, before a model is loaded: the text of `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tts_bench.engine.memory import available_memory, gpu_memory
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.weights import check_model_exists, weight_bytes
from tts_bench.errors import StoreError
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
    for model in _models(suite).values():
        if isinstance(model, TransformersEngine | VLLMEngine | RewardModel):
            check_model_exists(model.model)
    lines = [
        f"{suite.name:<9} {len(plan.items)} problems x {len(suite.cells)} cells x "
        f"{len(suite.seeds)} seeds = {plan.total} attempts ({len(plan.done)} already done)",
        f"data      {plan.dataset.source} {plan.dataset.revision}".rstrip(),
        f"model     {getattr(suite.engine, 'model', '')} ({type(suite.engine).__name__})",
        *(f"memory    {line}" for line in _memory(suite)),
        *(f"cell      {cell.id}" for cell in suite.cells),
        f"cost      {_cost(plan)}",
        f"prompt    {suite.prompt.system or ''}\n{suite.prompt.text(plan.items[0].problem)}",
        "nothing was run.",
    ]
    return "\n".join(lines)


def _models(suite: Suite) -> dict[str, Any]:
    """What loads a model, by what it is for: the policy's engine, the verifier or its judge."""
    judge = getattr(suite.verifier, "engine", None) or suite.verifier
    models: dict[str, Any] = {"policy": suite.engine, f"verifier {suite.verifier_name}": judge}
    return {name: one for name, one in models.items() if getattr(one, "model", None)}


def _memory(suite: Suite) -> list[str]:
    """Whether the weights of policy and verifier fit side by side, as far as that is known."""
    models = _models(suite)
    sizes = {
        name: weight_bytes(one.model, getattr(one, "revision", None))
        for name, one in models.items()
    }
    if not models:
        return []
    known = sum(size for size in sizes.values() if size is not None)
    parts = [f"{name} {_gib(size) if size else 'not here yet'}" for name, size in sizes.items()]
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
    for manifest in _earlier_manifests(plan):
        measured = manifest.get("throughput") or {}
        same = manifest["resolved"].get("engine") == plan.suite.resolved.get("engine")
        if same and measured.get("seconds") and measured.get("generated_tokens"):
            return float(measured["generated_tokens"] / measured["seconds"])
    return None


def _earlier_manifests(plan: Plan) -> Iterator[dict[str, Any]]:
    for path in sorted(plan.run.folder.parent.glob("*Z_*/manifest.json"), reverse=True):
        try:
            yield RunStore(path.parent).read_manifest()
        except StoreError:
            continue  # a run that cannot be read forecasts nothing; `ls runs` shows it
