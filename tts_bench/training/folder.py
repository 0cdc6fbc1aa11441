"""The output folder of a training: what is in it, and whether it can be gone on with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from tts_bench.errors import StoreError, UsageError
from tts_bench.store import environment
from tts_bench.store.manifest import Entry, Manifest, now
from tts_bench.store.runs import check_space
from tts_bench.training.config import TrainingConfig

MANIFEST = "manifest.json"
_IDLE = ("output", "log_every", "save_every", "keep_checkpoints", "report_to")
"""Settings that do not change what is learnt."""


class TrainingSession(Entry):
    """From when to when a training ran; it has another session for each `--resume`."""

    started: str
    ended: str | None = None


class TrainingManifest(Manifest):
    """Settings, data, environment and outcome of a training."""

    training_hash: str
    """Of all settings and data that decide what is learnt."""
    config: dict[str, Any]
    data: dict[str, Any] = Field(default_factory=dict)
    sessions: tuple[TrainingSession, ...] = ()
    steps: int | None = None
    final: dict[str, Any] | None = None
    """The last figures that were logged."""
    error: str | None = None


class OutputFolder:
    """Model and tokenizer at the top, `manifest.json` and `log.csv` beside, checkpoints below."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._manifest: TrainingManifest | None = None

    def begin(self, config: TrainingConfig, data: Mapping[str, Any], *, resume: bool) -> None:
        """Write the manifest of a training that begins or goes on.

        Raises UsageError if the folder holds another training, and StoreError where it
        cannot be written or the disk is full.
        """
        settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
        decisive = {name: value for name, value in settings.items() if name not in _IDLE}
        text = json.dumps([decisive, data], sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        earlier = self._read()
        if resume:
            self._check_same(earlier, decisive, digest)
        elif earlier is not None:
            raise UsageError(
                f"{self.path} holds a training ({earlier.status}): go on with --resume, "
                "replace it with --overwrite, or choose another output"
            )
        check_space(self.path)
        before = earlier.sessions if earlier else ()
        self._write(
            TrainingManifest(
                status="running",
                training_hash=digest,
                config=settings,
                data=dict(data),
                sessions=(*before, TrainingSession(started=now())),
                environment=environment.describe(),
            )
        )

    def end(self, status: str, **results: Any) -> None:
        """Write how it went. `status` is finished, interrupted or failed.

        `results` are further fields of the manifest.
        """
        assert self._manifest is not None, "only what has begun can end"
        *before, last = self._manifest.sessions
        sessions = (*before, last.changed(ended=now()))
        self._write(self._manifest.changed(status=status, sessions=sessions, **results))

    def clear(self) -> None:
        """Remove an earlier training. Refuses a folder that holds anything else."""
        if not self.path.exists():
            return
        if self._read() is None and any(self.path.iterdir()):
            raise UsageError(f"{self.path} is no folder of a training: it is not overwritten")
        shutil.rmtree(self.path)

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end; None if there is none."""
        # `trainer_state.json` is written last.
        whole = self.checkpoints.glob("checkpoint-*/trainer_state.json")
        folders = (path.parent for path in whole if path.stat().st_size)
        return max(folders, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def remove_torn(self) -> None:
        """Remove checkpoints of which only a part was written."""
        for folder in self.checkpoints.glob("checkpoint-*"):
            if not (folder / "trainer_state.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)

    def _check_same(
        self, earlier: TrainingManifest | None, settings: Mapping[str, Any], digest: str
    ) -> None:
        if earlier is None:
            raise UsageError(f"--resume: {self.path} holds no training")
        if earlier.training_hash == digest:
            return
        before = earlier.config
        changed = [name for name, value in settings.items() if before.get(name) != value]
        what = f"{', '.join(changed)} changed" if changed else "the data changed"
        raise UsageError(f"--resume: {self.path} is another training: {what} since it began")

    def _read(self) -> TrainingManifest | None:
        """The manifest that is there, if any. Raises UsageError if it is no training's."""
        path = self.path / MANIFEST
        if not path.is_file():
            return None
        try:
            return TrainingManifest.read(path)
        except StoreError as error:
            raise UsageError(
                f"{self.path} holds no training that can be read: choose another output ({error})"
            ) from error

    def _write(self, manifest: TrainingManifest) -> None:
        self._manifest = manifest
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        manifest.write(self.path / MANIFEST)
