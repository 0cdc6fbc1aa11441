"""tts-bench: compare test-time-compute strategies of language models.

This is the facade that strategies, plug-ins and notebooks import. Names are loaded when they
are first used, so that importing the package is quick and pulls in no model library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tts_bench.answers.kinds import AnswerKind
    from tts_bench.cost.ledger import Call
    from tts_bench.dataset.base import Dataset, Item, LoadedDataset
    from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
    from tts_bench.engine.scripted import ScriptedEngine
    from tts_bench.engine.tokenizer import Tokenizer
    from tts_bench.errors import (
        DatasetError,
        EngineDied,
        EngineError,
        ModelError,
        TtsBenchError,
        UsageError,
        VerifierDied,
        VerifierError,
    )
    from tts_bench.strategy.base import (
        AllocatingStrategy,
        SampleAndSelect,
        Strategy,
        answer_classes,
    )
    from tts_bench.strategy.beams import BeamStepSearch
    from tts_bench.strategy.select import best, majority, weighted
    from tts_bench.strategy.session import Session
    from tts_bench.strategy.step_search import Search, StepSearch
    from tts_bench.strategy.stopping import first_agreed, first_sure, leading_share, share_out
    from tts_bench.strategy.tree import distinct, top
    from tts_bench.suite.policy_file import load_policy
    from tts_bench.types import Attempt, Candidate, Node, Problem, Sampling, Score, Solution
    from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

__version__ = "0.1.0"

_HOME = {
    "AnswerKind": "answers.kinds",
    "Attempt": "types",
    "BeamStepSearch": "strategy.beams",
    "Call": "cost.ledger",
    "Candidate": "types",
    "Completion": "engine.base",
    "Dataset": "dataset.base",
    "DatasetError": "errors",
    "Engine": "engine.base",
    "EngineDied": "errors",
    "EngineError": "errors",
    "EngineInfo": "engine.base",
    "Item": "dataset.base",
    "LoadedDataset": "dataset.base",
    "ModelError": "errors",
    "Node": "types",
    "Problem": "types",
    "Request": "engine.base",
    "SampleAndSelect": "strategy.base",
    "Sampling": "types",
    "Score": "types",
    "Scoring": "verifier.base",
    "ScriptedEngine": "engine.scripted",
    "Search": "strategy.step_search",
    "Session": "strategy.session",
    "Solution": "types",
    "StepSearch": "strategy.step_search",
    "Strategy": "strategy.base",
    "AllocatingStrategy": "strategy.base",
    "Tokenizer": "engine.tokenizer",
    "TtsBenchError": "errors",
    "UsageError": "errors",
    "Verifier": "verifier.base",
    "VerifierDied": "errors",
    "VerifierError": "errors",
    "VerifierInfo": "verifier.base",
    "answer_classes": "strategy.base",
    "best": "strategy.select",
    "distinct": "strategy.tree",
    "first_agreed": "strategy.stopping",
    "first_sure": "strategy.stopping",
    "leading_share": "strategy.stopping",
    "load_policy": "suite.policy_file",
    "majority": "strategy.select",
    "share_out": "strategy.stopping",
    "top": "strategy.tree",
    "weighted": "strategy.select",
}

__all__ = [
    "AllocatingStrategy",
    "AnswerKind",
    "Attempt",
    "BeamStepSearch",
    "Call",
    "Candidate",
    "Completion",
    "Dataset",
    "DatasetError",
    "Engine",
    "EngineDied",
    "EngineError",
    "EngineInfo",
    "Item",
    "LoadedDataset",
    "ModelError",
    "Node",
    "Problem",
    "Request",
    "SampleAndSelect",
    "Sampling",
    "Score",
    "Scoring",
    "ScriptedEngine",
    "Search",
    "Session",
    "Solution",
    "StepSearch",
    "Strategy",
    "Tokenizer",
    "TtsBenchError",
    "UsageError",
    "Verifier",
    "VerifierDied",
    "VerifierError",
    "VerifierInfo",
    "answer_classes",
    "best",
    "distinct",
    "first_agreed",
    "first_sure",
    "leading_share",
    "load_policy",
    "majority",
    "share_out",
    "top",
    "weighted",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tts_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tts_bench.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
