"""A run once more, from its manifest: the same suite and problems, and what is different by now."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from tts_bench.dataset.base import Item
from tts_bench.errors import UsageError
from tts_bench.store.manifest import MODEL_KEYS, EngineEntry, EnvironmentEntry, RunManifest
from tts_bench.suite.load import Suite, load_document
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry
from tts_bench.suite.yaml_document import YamlDocument


@dataclass(frozen=True)
class Recorded:
    """A manifest whose run is to be repeated."""

    path: Path
    manifest: RunManifest

    @property
    def run(self) -> str:
        """Name of the folder of the run."""
        return self.path.resolve().parent.name

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that it ran: fewer than the suite's after `--strategy`."""
        return tuple(dict.fromkeys(cell.strategy for cell in self.manifest.cells))

    @property
    def include_path(self) -> tuple[Path, ...]:
        """The folders of `--include-path`, which no suite names."""
        return tuple(map(Path, self.manifest.include_path))

    @property
    def output_path(self) -> Path:
        """The results folder, which has the recorded completions.

        Raises UsageError if they are no longer where the manifest says.
        """
        store = Path(self.path.resolve().parent, self.manifest.generations or "")
        if not store.is_file():
            raise UsageError(
                f"{self.path}: its completions are not in {os.path.normpath(store)}: "
                "say with -o which results folder has them"
            )
        return store.resolve().parent

    def is_repeated_by(self, manifest: RunManifest) -> bool:
        """Whether another run repeats this one and has not ended, so that it can go on."""
        mine = manifest.repeats is not None and manifest.repeats.run == self.run
        return mine and not manifest.finished

    def problems(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Those of a data set's problems that the run attempted. Raises UsageError."""
        by_id = {item.problem.id: item for item in items}
        wanted = [row.id for row in self.manifest.problems]
        absent = [one for one in wanted if one not in by_id]
        if absent:
            raise UsageError(
                f"{self.path}: the data set no longer has {len(absent)} of its {len(wanted)} "
                f"problems, first {absent[0]}"
            )
        return tuple(by_id[one] for one in wanted)


def is_manifest(name: str) -> bool:
    """Whether what stands for a suite is the manifest of a run."""
    path = Path(name)
    return path.name == "manifest.json" and path.is_file()


def read_recorded(path: Path) -> Recorded:
    """Read a manifest. Raises UsageError if it is torn, of another format, or of an import."""
    manifest = RunManifest.read(path)
    if not manifest.resolved:
        raise UsageError(f"{path}: this run was imported: there is no suite to run again")
    return Recorded(path, manifest)


def load_recorded(recorded: Recorded, registry: Registry, overrides: Overrides) -> Suite:
    """The suite of a manifest, as it was resolved then; options may change it again.

    Raises SuiteError if this version no longer accepts it.
    """
    resolved = recorded.manifest.resolved
    document = YamlDocument(str(recorded.path), copy.deepcopy(resolved))
    changed = replace(overrides, strategies=overrides.strategies or recorded.strategies)
    # The suite's file may be gone; its stem, which names the run's folder, is on record.
    path = Path(f"{recorded.manifest.suite}.yaml")
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    return load_document(document, path, text, registry, changed)


def differences(before: RunManifest, now: RunManifest) -> list[str]:
    """What may make a repeated run come out otherwise, a phrase each, from both manifests."""
    old, new = before.environment, now.environment
    found = [*_code(old, new), *_unequal("python", old.python, new.python)]
    for name in sorted({*old.packages, *new.packages}):
        found += _unequal(name, old.packages.get(name), new.packages.get(name))
    found += _unequal("gpus", old.gpus, new.gpus)
    found += _unequal("platform", old.platform, new.platform)
    found += _model("engine", before.engine, now.engine)
    found += _unequal("verifier", before.verifier.recipe, now.verifier.recipe)
    found += _model("verifier", before.verifier.model, now.verifier.model)
    for key in ("revision", "content_hash"):
        sides = [getattr(side.dataset, key) for side in (before, now)]
        found += _unequal(f"dataset {key}", *sides)
    if before.suite_hash != now.suite_hash and not found:
        found.append("the suite: its settings, its problems or the code of its strategies")
    return found


def _code(old: EnvironmentEntry, new: EnvironmentEntry) -> Iterator[str]:
    yield from _unequal("tts-bench", old.tts_bench, new.tts_bench)
    yield from _unequal("commit", *(side.git and side.git.commit for side in (old, new)))
    for when, side in (("then", old), ("now", new)):
        if side.git and side.git.dirty:
            yield f"code with uncommitted changes {when}"


def _model(whose: str, old: EngineEntry | None, new: EngineEntry | None) -> Iterator[str]:
    for key in MODEL_KEYS:
        yield from _unequal(f"{whose} {key}", getattr(old, key, None), getattr(new, key, None))


def _unequal(name: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{name} is {new}, was {old}"
