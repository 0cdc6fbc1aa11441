"""From a suite's YAML to objects.

Everything is checked before anything is loaded: a suite with faults raises one SuiteError that
lists them all, each with `file:line`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_bench.answers.grader import Grader
from tts_bench.answers.kinds import MATH, AnswerKind
from tts_bench.cost.ledger import Budget
from tts_bench.dataset.base import Dataset, LoadedDataset
from tts_bench.engine.base import Engine
from tts_bench.errors import DatasetError, SuiteError, UsageError, did_you_mean, quoted
from tts_bench.prompt import Prompt
from tts_bench.secrets.masking import masked, remember
from tts_bench.suite.answers import grader_of
from tts_bench.suite.cells import Cell, expand
from tts_bench.suite.fields import build, check, unknown_key
from tts_bench.suite.folder_name import folder_fault
from tts_bench.suite.gives import Gives
from tts_bench.suite.masked_text import masked_text
from tts_bench.suite.overrides import Overrides, set_values
from tts_bench.suite.plugins import build_plugin, common_keys, load_class
from tts_bench.suite.recommended import take
from tts_bench.suite.registry import (
    ANSWERS,
    DATASETS,
    ENGINES,
    STRATEGIES,
    VERIFIERS,
    Kind,
    Registry,
    shipped,
    source_hash,
)
from tts_bench.suite.yaml_document import YamlDocument, read_yaml
from tts_bench.types import Sampling
from tts_bench.verifier.base import Verifier

DEFAULT_CONCURRENCY = 512
MOST_CONCURRENCY = 100_000
SEED_LIMIT = 2**63
"""Seeds must fit what engines and stores hold: a signed integer of 64 bits."""
_KEYS = (
    "answers",
    "budget",
    "concurrency",
    "dataset",
    "description",
    "engine",
    "name",
    "prompt",
    "sampling",
    "seeds",
    "strategies",
    "verifier",
)


@dataclass(frozen=True)
class Suite:
    """A suite, resolved: objects for every name, and the cells of every sweep."""

    name: str
    path: Path
    text: str
    dataset_name: str
    dataset: Dataset
    engine: Engine
    verifier_name: str
    verifier: Verifier
    prompt: Prompt
    budget: Budget
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    concurrency: int
    resolved: Mapping[str, Any]
    answers: AnswerKind = MATH
    recommended: str = ""
    """What of the sampling is as the model's makers recommend, in a line."""

    def grader(self) -> Grader:
        """A grader of this suite's answers."""
        return grader_of(self.answers, self.resolved.get(ANSWERS.name))

    def load(self) -> LoadedDataset:
        """The problems. Raises DatasetError, also for a reference that is no answer of the kind."""
        dataset = self.dataset.load()
        for item in dataset if self.answers != MATH else ():
            try:
                self.answers.read_reference(item.reference)
            except ValueError as error:
                name = quoted(item.problem.id)
                raise DatasetError(
                    f"{dataset.source}: the reference of problem {name} {error}"
                ) from error
        return dataset

    def hash(self, content_hash: str, limit: str | None) -> str:
        """What makes a run of this suite the same run.

        Settings, problems, limit, the cells that are run and the code of plug-ins count; what
        only describes the run or changes its speed does not, and neither does a secret: whose key
        opens a service is no part of what it answers.
        """
        idle = ("concurrency", "description")
        settings = {key: value for key, value in self.resolved.items() if key not in idle}
        settings["engine"] = _decisive(self.resolved["engine"], self.engine)
        settings["verifier"] = _decisive(self.resolved["verifier"], self.verifier)
        plugins = [self.engine, self.verifier, self.dataset, *(one.strategy for one in self.cells)]
        own = getattr(self.verifier, "engine", None)
        if isinstance(own, Engine):
            settings["verifier"]["engine"] = _decisive(self.resolved["verifier"]["engine"], own)
            plugins.append(own)
        if ANSWERS.name in self.resolved:
            plugins.append(self.answers)
        code = [source_hash(type(plugin)) for plugin in plugins]
        decisive = [settings, content_hash, limit, [cell.id for cell in self.cells], code]
        text = json.dumps(masked(decisive), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _decisive(block: Mapping[str, Any], plugin: Engine | Verifier) -> dict[str, Any]:
    """The settings of a block that decide results, without those that only change the speed."""
    idle = {*plugin.speed_only, *common_keys(type(plugin))}
    return {key: value for key, value in block.items() if key not in idle}


def find_suite(name: str) -> Path:
    """Path of the suite's file: as named, or among those that are shipped with the package.

    A shipped suite is found by its name alone (`s1`) or with its folder (`recipes/s1`).
    """
    path = Path(name)
    if path.is_file():
        return path
    known = shipped_suites()
    for candidate in (name, path.name, path.stem):
        if candidate in known:
            return known[candidate]
    short = {file.stem: file for file in known.values()}
    if path.stem in short:
        return short[path.stem]
    near = [str(other) for other in path.parent.glob("*.y*ml")]
    raise UsageError(f"{name}: no such suite{did_you_mean(name, [*near, *known, *short])}")


def shipped_suites() -> dict[str, Path]:
    """Files of the shipped suites by name; a folder stands before the name (`recipes/s1`)."""
    folder = shipped("suites")
    found = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in found}


def load_suite(path: Path, registry: Registry, overrides: Overrides | None = None) -> Suite:
    """Read, override, check and resolve a suite. Raises SuiteError with all of its faults."""
    document = read_yaml(path, str(path))
    # JSON is YAML: a manifest would be read as a suite, with a fault for nearly every key.
    if isinstance(document.data, dict) and {"format_version", "resolved"} <= document.data.keys():
        again = "`tts-bench run` repeats it where it is called manifest.json"
        raise SuiteError([f"{path}: the manifest of a run, and no suite; {again}"])
    return load_document(document, path, path.read_text("utf-8"), registry, overrides)


def load_document(
    document: YamlDocument,
    path: Path,
    text: str,
    registry: Registry,
    overrides: Overrides | None = None,
) -> Suite:
    """Override, check and resolve a suite that has been read; `path` and `text` are its file's.

    Raises SuiteError with all of its faults.
    """
    if not isinstance(document.data, dict):
        keys = ", ".join(_KEYS)
        raise SuiteError([f"{document.path}: a suite is a mapping with the keys {keys}"])
    _spell_out(document.data)
    (overrides or Overrides()).apply(document)
    remember(document.data)
    _spell_out(document.data)
    suite = _Resolver(document, registry, overrides or Overrides()).resolve(path, text)
    if suite is None or document.faults:
        raise SuiteError(document.report())
    return suite


def load_blocks(
    document: YamlDocument, registry: Registry, kinds: Sequence[Kind], sets: Sequence[str] = ()
) -> dict[str, tuple[str, Any]]:
    """Name and object of some blocks of a suite, by their keys; its other keys may be missing.

    Blocks that are not there are left out. Raises SuiteError with all faults.
    """
    if not isinstance(document.data, dict):
        raise SuiteError([f"{document.path}: must be a mapping, as a suite is"])
    set_values(document, sets)
    remember(document.data)
    present = [kind for kind in kinds if document.data.get(kind.name) is not None]
    _spell_out(document.data)
    found = _Resolver(document, registry, Overrides()).blocks(present)
    if document.faults:
        raise SuiteError(document.report())
    return found


def _spell_out(data: dict[str, Any]) -> None:
    """Write short forms in full: `dataset: math500` as a mapping, and so on."""
    data.setdefault("verifier", "confidence")
    for key in ("answers", "dataset", "engine", "verifier"):
        if isinstance(data.get(key), str):
            data[key] = {"name": data[key]}
    if data.get("sampling") == "recommended":
        data["sampling"] = {"recommended": True}
    if data.get("answers") == {"name": "math"}:
        del data["answers"]  # what a suite without the key has
    if isinstance(data.get("strategies"), list):
        data["strategies"] = [
            {"strategy": entry} if isinstance(entry, str) else entry for entry in data["strategies"]
        ]


class _Resolver:
    """Resolves one document, noting faults as it goes."""

    def __init__(self, document: YamlDocument, registry: Registry, overrides: Overrides) -> None:
        self._document = document
        self._registry = registry
        self._overrides = overrides
        self._data: dict[str, Any] = document.data

    def blocks(self, kinds: Sequence[Kind]) -> dict[str, tuple[str, Any]]:
        """Name and object of each of these blocks that is sound."""
        self._check_keys()
        found = {kind.name: self._plugin(kind) for kind in kinds}
        return {key: block for key, block in found.items() if block is not None}

    def _check_keys(self) -> None:
        for key in self._data:
            if key not in _KEYS:
                unknown_key(self._document, (key,), _KEYS)

    def resolve(self, path: Path, text: str) -> Suite | None:
        self._check_keys()
        dataset = self._plugin(DATASETS)
        engine = self._plugin(ENGINES)
        verifier = self._plugin(VERIFIERS)
        answers = self._plugin(ANSWERS) if ANSWERS.name in self._data else ("math", MATH)
        taken = take(self._data, engine and engine[1], self._document)
        sampling = self._required(Sampling, "sampling")
        prompt = build(Prompt, self._data.get("prompt", {}), ("prompt",), self._document)
        budget = build(Budget, self._data.get("budget", {}), ("budget",), self._document)
        seeds = self._seeds()
        concurrency = self._concurrency()
        name = self._name(path)
        budgeted = budget is not None and budget.tokens is not None
        gives = engine and verifier and Gives(engine[1], *verifier, self._registry, self._document)
        if gives and prompt:
            gives.check_prompts(prompt)
        if gives and sampling and not gives.check_sampling(sampling, ("sampling",)):
            sampling = None
        cells = self._cells(sampling, budgeted, gives or None)
        if self._document.faults or not (
            dataset and engine and verifier and answers and prompt and budget
        ):
            return None
        return Suite(
            name=name,
            path=path,
            text=masked_text(text),
            dataset_name=dataset[0],
            dataset=dataset[1],
            engine=engine[1],
            verifier_name=verifier[0],
            verifier=verifier[1],
            prompt=prompt,
            budget=budget,
            seeds=seeds,
            cells=cells,
            concurrency=concurrency,
            resolved=self._data,
            answers=answers[1],
            recommended=taken,
        )

    def _name(self, path: Path) -> str:
        """The run's folder under the output path: as given, or made of the file's stem."""
        if "name" not in self._data:
            name = re.sub(r"^\.|[^\w.-]|\.$", "_", path.stem)
            if fault := folder_fault(name):
                why = f"the runs' folder, named as the file is, {fault}; set the key name"
                self._document.fault((), why)
            return name
        name = check(str, self._data["name"], ("name",), self._document)
        if name is not None and (fault := folder_fault(name)):
            self._document.fault(("name",), fault)
        return str(name)

    def _seeds(self) -> tuple[int, ...]:
        seeds = check(tuple[int, ...], self._data.get("seeds", [0]), ("seeds",), self._document)
        if seeds is None:
            return ()
        if not seeds or len(set(seeds)) != len(seeds):
            self._document.fault(("seeds",), "must be one or more different numbers")
        for i, seed in enumerate(seeds):
            if not 0 <= seed < SEED_LIMIT:
                self._document.fault(("seeds", i), f"must be from 0 to 2**63 - 1, not {seed}")
        return tuple(seeds)

    def _concurrency(self) -> int:
        given = self._data.get("concurrency", DEFAULT_CONCURRENCY)
        concurrency: int | None = check(int, given, ("concurrency",), self._document)
        if concurrency is not None and not 1 <= concurrency <= MOST_CONCURRENCY:
            wanted = f"must be from 1 to {MOST_CONCURRENCY}"
            self._document.fault(("concurrency",), f"{wanted}, not {concurrency}")
        return concurrency or DEFAULT_CONCURRENCY

    def _required(self, cls: type[Any], key: str) -> Any:
        if key not in self._data:
            self._document.fault((), f"missing key {key!r}")
            return None
        return build(cls, self._data[key], (key,), self._document)

    def _plugin(self, kind: Kind) -> tuple[str, Any] | None:
        """Name and object of the block of this kind."""
        block = self._data.get(kind.name)
        return build_plugin(block, (kind.name,), kind, self._registry, self._document)

    def _cells(
        self, sampling: Sampling | None, budgeted: bool, gives: Gives | None
    ) -> tuple[Cell, ...]:
        entries = self._entries()
        cells: list[Cell] = []
        names: list[str] = []
        for i, entry in enumerate(entries):
            name = entry.get("strategy") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                self._document.fault(("strategies", i), "must name a strategy")
                continue
            names.append(name)
            address = ("strategies", i)
            where = (*address, "strategy")
            cls = load_class(name, where, STRATEGIES, self._registry, self._document)
            if cls is not None:
                found = expand(cls, entry, address, sampling, self._document, budgeted=budgeted)
                if not self._left_out(name):
                    cells += found
                    if gives:
                        gives.check_cells(found, address)
        for wanted in self._overrides.strategies if names else ():
            if wanted not in names:
                hint = did_you_mean(wanted, names) or f"; it has {', '.join(names)}"
                self._document.faults.append(f"--strategy {wanted}: not in this suite{hint}")
        for cell_id, count in Counter(cell.id for cell in cells).items():
            if count > 1:
                self._document.fault(("strategies",), f"{cell_id} stands there twice")
        return tuple(cells)

    def _entries(self) -> list[Any]:
        if "strategies" not in self._data:
            self._document.fault((), "missing key 'strategies'")
            return []
        entries = check(list[Any], self._data["strategies"], ("strategies",), self._document)
        if entries == []:
            self._document.fault(("strategies",), "is empty: name one strategy or more")
        return entries or []

    def _left_out(self, name: str) -> bool:
        return bool(self._overrides.strategies) and name not in self._overrides.strategies
