"""Reward models with random weights, one of each published kind, and how tests ask them."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "bos_token_id": None,
}
MARKERS = ("<extra_0>", "ки")


def tokenizer() -> Any:
    """The tiny model's tokenizer with the markers of every family."""
    made = runpy.run_path(str(ROOT / "benchmarks" / "tiny_model.py"))["tokenizer_of_sums"]()
    made.add_tokens(list(MARKERS))
    return made


def make(kind: str, folder: Path) -> Path:
    """Write config, weights and tokenizer of a model of the kind into the folder."""
    words = tokenizer()
    words.save_pretrained(folder)
    special = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind in _STORED:
            _make_stored(kind, folder, special)
        else:
            family, auto_class, labels = _LIBRARY[kind]
            more = {"num_labels": labels} if labels else {}
            config = getattr(transformers, f"{family}Config")(**SIZES, **special, **more)
            model = getattr(transformers, f"{family}{auto_class}")(config)
            model.save_pretrained(folder)
    return folder


_LIBRARY = {
    "trl": ("Qwen2", "ForTokenClassification", 2),
    "three-labels": ("Qwen2", "ForTokenClassification", 3),
    "math-shepherd": ("Mistral", "ForCausalLM", 0),
    "rlhflow": ("Llama", "ForCausalLM", 0),
    "orm": ("Qwen2", "ForSequenceClassification", 1),
}
_STORED = {
    "qwen2.5-math-prm": ("Qwen2ForProcessRewardModel", "score.0", "score.2", 2),
    "qwen2.5-math-rm": ("Qwen2ForRewardModel", "score.0", "score.2", 1),
    "skywork-o1-open-prm": ("Qwen2ForPrmModel", None, "v_head.summary", 1),
}
KINDS = (*_LIBRARY, *_STORED)


def _make_stored(kind: str, folder: Path, special: dict[str, int]) -> None:
    architecture, inner, last, outputs = _STORED[kind]
    config = transformers.Qwen2Config(**SIZES, **special)
    backbone = transformers.Qwen2Model(config)
    width = SIZES["hidden_size"]
    weights = {f"model.{name}": value for name, value in backbone.state_dict().items()}
    if inner:
        weights[f"{inner}.weight"] = torch.randn(width, width) / 8
        weights[f"{inner}.bias"] = torch.randn(width) / 8
    weights[f"{last}.weight"] = torch.randn(outputs, width) / 8
    weights[f"{last}.bias"] = torch.randn(outputs) / 8
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    content = config.to_dict() | {"architectures": [architecture], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(content))


def candidate(text: str, number: int = 0, finish_reason: str = "stop") -> Candidate:
    """A candidate with this text; verifiers that read texts look at nothing else of it."""
    return Candidate(
        id=number,
        prompt_ids=(1, 2, 3),
        token_ids=tuple(text.encode()),
        text=text,
        answer=None,
        answer_class=None,
        logprob=-1.0,
        generated_tokens=len(text),
        finish_reason=finish_reason,  # type: ignore[arg-type]
    )


def score(verifier: Verifier, problem: str, texts: Sequence[str]) -> list[Scoring]:
    """Start a verifier, score texts all at once, and close it."""
    return score_rounds(verifier, [[(problem, texts)]])[0][0]


def score_rounds(
    verifier: Verifier, rounds: Sequence[Sequence[tuple[str, Sequence[str]]]]
) -> list[list[list[Scoring]]]:
    """Start a verifier, score round after round (each of several problems at once), close it."""

    async def main() -> list[list[list[Scoring]]]:
        await verifier.start(None)  # type: ignore[arg-type]
        try:
            done = []
            for problems in rounds:
                asked = [
                    verifier.score(Problem(p, p), [candidate(t, i) for i, t in enumerate(texts)])
                    for p, texts in problems
                ]
                done.append(list(await asyncio.gather(*asked)))
            return done
        finally:
            await verifier.close()

    return asyncio.run(main())


def steps(scorings: Sequence[Scoring]) -> list[tuple[float, ...]]:
    """The step scores of each scoring."""
    return [scoring.score.steps for scoring in scorings]


def values(scorings: Sequence[Scoring]) -> list[float]:
    """The value of each scoring."""
    scores: list[Score] = [scoring.score for scoring in scorings]
    return [one.value for one in scores]
