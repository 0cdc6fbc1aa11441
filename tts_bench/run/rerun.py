"""A run once more, from its manifest: the same suite and problems, and what is different by now."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tts_bench.dataset.base import Item
from tts_bench.errors import UsageError
from tts_bench.store.runs import FORMAT_VERSION
from tts_bench.suite.load import Suite, load_document
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry
from tts_bench.suite.yaml_document import YamlDocument

_MODEL = ("engine", "model", "revision", "dtype", "max_model_len")


@dataclass(frozen=True)
class Recorded:
    """A manifest whose run is to be repeated."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def run(self) -> str:
        """Name of the folder of the run."""
        return self.path.resolve().parent.name

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that it ran: fewer than the suite's after `--strategy`."""
        return tuple(dict.fromkeys(cell["strategy"] for cell in self.manifest["cells"]))

    @property
    def include_path(self) -> tuple[Path, ...]:
        """The folders of `--include-path`, which no suite names."""
        return tuple(map(Path, self.manifest.get("include_path", ())))

    @property
    def output_path(self) -> Path:
        """The results folder, which has the recorded completions.

        Raises UsageError where they are no longer where the manifest says.
        """
        store = Path(self.path.resolve().parent, self.manifest["generations"])
        if not store.is_file():
            raise UsageError(
                f"{self.path}: its completions are not in {os.path.normpath(store)}: "
                "say with -o which results folder has them"
            )
        return store.resolve().parent

    def is_repeated_by(self, manifest: Mapping[str, Any]) -> bool:
        """Whether another run repeats this one and has not ended, so that it can go on."""
        mine = (manifest.get("repeats") or {}).get("run") == self.run
        return mine and manifest["status"] not in ("complete", "failed_attempts")

    def problems(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Those of a data set's problems that the run attempted. Raises UsageError."""
        by_id = {item.problem.id: item for item in items}
        wanted = [row["id"] for row in self.manifest["problems"]]
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
    """Read a manifest. Raises UsageError where it is torn, of another format, or of an import."""
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None
    found = manifest.get("format_version") if isinstance(manifest, dict) else None
    if found != FORMAT_VERSION:
        made = (manifest.get("environment") or {}).get("tts_bench") if found is not None else None
        hint = f": it was made by tts-bench {made}, which can repeat it" if made else ""
        raise UsageError(
            f"{path}: manifest of format {found}, and this version repeats format "
            f"{FORMAT_VERSION} only{hint}"
        )
    if not manifest.get("resolved"):
        raise UsageError(f"{path}: this run was imported: there is no suite to run again")
    return Recorded(path, manifest)


def load_recorded(recorded: Recorded, registry: Registry, overrides: Overrides) -> Suite:
    """The suite of a manifest, as it was resolved then; options may change it again.

    Raises SuiteError where this version no longer accepts it.
    """
    resolved = recorded.manifest["resolved"]
    document = YamlDocument(str(recorded.path), copy.deepcopy(resolved))
    changed = replace(overrides, strategies=overrides.strategies or recorded.strategies)
    # The suite's file may be gone; its stem, which names the run's folder, is on record.
    path = Path(f"{recorded.manifest['suite']}.yaml")
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    return load_document(document, path, text, registry, changed)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What may make a repeated run come out otherwise, a phrase each, from both manifests."""
    old, new = before["environment"], now["environment"]
    found = [*_code(old, new), *_unequal("python", old.get("python"), new.get("python"))]
    packages = [side.get("packages") or {} for side in (old, new)]
    for name in sorted({*packages[0], *packages[1]}):
        found += _unequal(name, packages[0].get(name), packages[1].get(name))
    for whose in ("gpus", "platform"):
        found += _unequal(whose, old.get(whose), new.get(whose))
    found += _model("engine", before["engine"], now["engine"])
    verifiers = [side.get("verifier") or {} for side in (before, now)]
    found += _unequal("verifier", *(one.get("recipe") for one in verifiers))
    found += _model("verifier", *(one.get("model") or {} for one in verifiers))
    for key in ("revision", "content_hash"):
        found += _unequal(f"dataset {key}", before["dataset"].get(key), now["dataset"].get(key))
    if before["suite_hash"] != now["suite_hash"] and not found:
        found.append("the suite: its settings, its problems or the code of its strategies")
    return found


def _code(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _unequal("tts-bench", old.get("tts_bench"), new.get("tts_bench"))
    commits = [side.get("git") or {} for side in (old, new)]
    yield from _unequal("commit", *(one.get("commit") for one in commits))
    for when, one in zip(("then", "now"), commits, strict=True):
        if one.get("dirty"):
            yield f"code with uncommitted changes {when}"


def _model(whose: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in _MODEL:
        yield from _unequal(f"{whose} {key}", old.get(key), new.get(key))


def _unequal(name: str, old: Any, new: Any) -> Iterator[str]:
    if old != new:
        yield f"{name} is {new}, was {old}"
