"""From names to classes: folders, `path.py:Class`, and installed packages' entry points.

A strategy's name is the stem of its file; putting the file into a folder registers it. Nothing
is imported before its name is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from tts_bench.answers.kinds import AnswerKind
from tts_bench.dataset.base import Dataset
from tts_bench.engine.base import Engine
from tts_bench.errors import UnknownName, UsageError, did_you_mean
from tts_bench.strategy.base import SampleAndSelect, Strategy
from tts_bench.strategy.select import SELECTORS
from tts_bench.types import Need
from tts_bench.verifier.base import Verifier

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Kind:
    """A kind of pluggable class: its base, and what ships with the package."""

    name: str
    plural: str
    base: type
    built_in: Mapping[str, str]

    @property
    def group(self) -> str:
        """Entry-point group in which installed packages offer their own."""
        return f"tts_bench.{self.plural}"


ENGINES = Kind(
    "engine",
    "engines",
    Engine,
    {
        "ray": "tts_bench.engine.ray.engine:RayEngine",
        "server": "tts_bench.engine.server.engine:ServerEngine",
        "transformers": "tts_bench.engine.transformers:TransformersEngine",
        "vllm": "tts_bench.engine.vllm:VLLMEngine",
    },
)
VERIFIERS = Kind(
    "verifier",
    "verifiers",
    Verifier,
    {
        "confidence": "tts_bench.verifier.confidence:ConfidenceVerifier",
        "generative": "tts_bench.verifier.generative:GenerativeVerifier",
        "judge": "tts_bench.verifier.judge:JudgeVerifier",
        "orm": "tts_bench.verifier.orm:OutcomeRewardModel",
        "prm": "tts_bench.verifier.prm:ProcessRewardModel",
        "prm_causal": "tts_bench.verifier.prm_causal:CausalPRMVerifier",
    },
)
DATASETS = Kind(
    "dataset",
    "datasets",
    Dataset,
    {
        "aime24": "tts_bench.dataset.hub:Aime24",
        "aime25": "tts_bench.dataset.hub:Aime25",
        "amc23": "tts_bench.dataset.hub:Amc23",
        "arithmetic": "tts_bench.dataset.arithmetic:Arithmetic",
        "gsm8k": "tts_bench.dataset.hub:Gsm8k",
        "hub": "tts_bench.dataset.hub:HubDataset",
        "jsonl": "tts_bench.dataset.jsonl:JsonlDataset",
        "math500": "tts_bench.dataset.hub:Math500",
    },
)
ANSWERS = Kind(
    "answers",
    "answers",
    AnswerKind,
    {
        "choice": "tts_bench.answers.kinds:ChoiceAnswers",
        "math": "tts_bench.answers.kinds:MathAnswers",
    },
)
STRATEGIES = Kind("strategy", "strategies", Strategy, {})
KINDS = {kind.plural: kind for kind in (STRATEGIES, ENGINES, VERIFIERS, DATASETS, ANSWERS)}


class Registry:
    """Finds classes by name.

    Strategies are those of the package, of the working folder's `strategies`, and of the folders
    of `include`.
    """

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._folders = [shipped("strategies"), *own_strategies(), *include]
        for folder in include:
            if not folder.is_dir():
                raise UsageError(f"--include-path {folder}: no such folder")

    def names(self, kind: Kind) -> dict[str, str]:
        """Every known name of a kind, with where it comes from (nothing is imported)."""
        return {name: " and ".join(homes) for name, homes in self._homes(kind).items()}

    def load(self, kind: Kind, name: str) -> type[Any]:
        """The class of that name, or of `path.py:Class`.

        Raises UnknownName, or UsageError if the file or package that holds it is broken.
        """
        if ".py:" in name:
            path, _, attribute = name.rpartition(":")
            return _checked(kind, getattr(_import_file(Path(path)), attribute, None), name)
        homes = self._homes(kind)
        if name not in homes:
            looked = f" List them: tts-bench ls {kind.plural}"
            raise UnknownName(kind.name, name, homes, looked)
        target, *others = homes[name]
        if others:
            both = " and ".join(homes[name])
            raise UsageError(f"{kind.name} {name!r} is in {both}: rename one of them")
        if target.endswith(".py"):
            return _only_strategy(Path(target))
        return _checked(kind, _import_attribute(kind, name, target), name)

    def _homes(self, kind: Kind) -> dict[str, list[str]]:
        """Every place that offers a name, for each name; more than one is a fault at load."""
        offers = [(entry.name, entry.value) for entry in entry_points(group=kind.group)]
        offers += kind.built_in.items()
        if kind is STRATEGIES:
            offers += [(path.stem, str(path)) for path in self._strategy_files()]
        homes: dict[str, list[str]] = {}
        for name, target in sorted(dict.fromkeys(offers)):
            homes.setdefault(name, []).append(target)
        return homes

    def _strategy_files(self) -> Iterator[Path]:
        folders = {folder.resolve(): folder for folder in reversed(self._folders)}
        for folder in reversed(folders.values()):
            yield from (
                path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")
            )


def draws_one_pool(cls: type[Any]) -> bool:
    """Whether one pool, drawn at the largest `n`, stands for all smaller ones.

    Not where a subclass has a `solve` of its own: nobody knows what that one draws.
    """
    return issubclass(cls, SampleAndSelect) and cls.solve is SampleAndSelect.solve


def shipped(folder: str) -> Path:
    """The package's `strategies` or `suites`: beside the package in a checkout, else inside."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def own_strategies() -> list[Path]:
    """The folder `strategies` of the working folder, if there is one beside the package's."""
    own = Path("strategies")
    return [own] if own.is_dir() and not own.samefile(shipped("strategies")) else []


def source_hash(cls: type[Any]) -> str | None:
    """SHA-256 of the file that a plug-in's class comes from; None for a class of the package."""
    if cls.__module__.startswith("tts_bench."):
        return None
    try:
        source = inspect.getsourcefile(cls)
        return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None
    except (TypeError, OSError):  # a class without a file, as one made in a notebook
        return None


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    name = f"tts_bench_plugin_{path.stem}_{abs(hash(str(path.resolve()))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"{path}: cannot be imported: {_brief(error)}") from error
    return module


def _import_attribute(kind: Kind, name: str, target: str) -> object:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:
        what = f"{kind.name} {name!r}: {module} cannot be imported"
        raise UsageError(f"{what}: {_brief(error)}") from error


def _only_strategy(path: Path) -> type[Any]:
    module = _import_file(path)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
    ]
    classes = [one for one in classes if not inspect.isabstract(one)] or classes
    if len(classes) != 1:
        raise UsageError(f"{path}: must define one Strategy class, and defines {len(classes)}")
    return _checked(STRATEGIES, classes[0], path.stem)


def _checked(kind: Kind, value: object, name: str) -> type[Any]:
    """Refuse what does not fit its port, when it is looked up and not when it is called."""
    if not isinstance(value, type) or not issubclass(value, kind.base):
        raise UsageError(f"{kind.name} {name!r}: no subclass of {kind.base.__name__} there")
    if not _is_frozen_dataclass(value):
        raise UsageError(f"{kind.name} {name!r}: {value.__name__} must be a frozen dataclass")
    if inspect.isabstract(value):
        lacking = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise UsageError(f"{kind.name} {name!r}: {value.__name__} is abstract: it lacks {lacking}")
    if issubclass(value, Strategy):
        _check_needs(value, f"{kind.name} {name!r}: {value.__name__}")
    if draws_one_pool(value):
        _check_selector(value, f"{kind.name} {name!r}: {value.__name__}")
    return value


def _is_frozen_dataclass(cls: type[Any]) -> bool:
    # A subclass that is not decorated inherits the marks; its own fields would not be fields.
    own = "__dataclass_fields__" in vars(cls) or not inspect.get_annotations(cls)
    marks = getattr(cls, "__dataclass_params__", None)
    return own and marks is not None and bool(marks.frozen)


def _check_needs(cls: type[Strategy], shown: str) -> None:
    known = get_args(Need)
    if isinstance(cls.needs, str):
        raise UsageError(f'{shown} needs {cls.needs!r}: write a list, ("{cls.needs}",)')
    for need in cls.needs:
        if need not in known:
            hint = did_you_mean(str(need), known) or f"; known: {', '.join(known)}"
            raise UsageError(f"{shown} needs an unknown {need!r}{hint}")


def _check_selector(cls: type[Any], shown: str) -> None:
    if cls.has_own_rule():
        return
    selector = getattr(cls, "selector", None)
    known = ", ".join(SELECTORS)
    if selector is None:
        raise UsageError(f"{shown} has neither a `choose` nor a selector; known: {known}")
    if not isinstance(selector, str) or selector not in SELECTORS:
        hint = did_you_mean(str(selector), SELECTORS) or f"; known: {known}"
        raise UsageError(f"{shown} has an unknown selector {selector!r}{hint}")


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
