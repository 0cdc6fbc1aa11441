"""Work beside the steps: the log file, the progress, and stopping without loss."""

from __future__ import annotations

import csv
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tts_bench.store.files import staged

LOG = "log.csv"
_LINE_EVERY = 10.0


class CsvLog(TrainerCallback):
    """Every logged row in `log.csv`; a training that goes on rewrites what it goes on from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Append the newest row; a row with new columns writes the file anew."""
        row = state.log_history[-1]
        if "train_runtime" in row:
            return  # the summary of this session, which the manifest holds
        if self._columns and set(row) <= set(self._columns):
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
            return
        history = [one for one in state.log_history if "train_runtime" not in one]
        names = dict.fromkeys(name for one in history for name in one)
        self._columns = ["step", *(name for name in names if name != "step")]
        with (
            staged(self._path) as beside,
            beside.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(history)


class Show(TrainerCallback):
    """A bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._began = self._last_line = time.monotonic()
        self._loss = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin where a checkpoint left off."""
        self._began = self._last_line = time.monotonic()
        self._first = state.global_step
        if sys.stderr.isatty():
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Keep what the next line says."""
        shown = {name: state.log_history[-1].get(name) for name in ("loss", "reward")}
        parts = [f"{name} {value:.4f}" for name, value in shown.items() if value is not None]
        self._loss = ", ".join(parts) or self._loss
        if self._bar is not None:
            self._bar.set_postfix_str(self._loss, refresh=False)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._last_line = time.monotonic()
            made = state.global_step - self._first
            left = (self._last_line - self._began) / made * (state.max_steps - state.global_step)
            line = f"{state.global_step}/{state.max_steps} steps, {self._loss or 'no loss yet'}"
            print(f"{line}, {tqdm.format_interval(left)} left", file=sys.stderr, flush=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave the bar as it is."""
        self.close()

    def close(self) -> None:
        """Leave the bar as it is, also if the training failed."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class StopWhenAsked(TrainerCallback):
    """Ctrl-C, or SIGTERM, ends the training after the step in hand, with a checkpoint.

    A second Ctrl-C interrupts at once and leaves the last checkpoint as it was. Used as a context
    manager; outside of the main thread, where signals cannot be caught, it does nothing. Stops
    only after a multiple of `every` steps.
    """

    def __init__(self, every: int = 1) -> None:
        self.asked = False
        self._every = every
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopWhenAsked:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping behind this step ...", file=sys.stderr, flush=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save and stop, if that was asked for."""
        may_stop = state.global_step < state.max_steps and not state.global_step % self._every
        if self.asked and may_stop:
            control.should_save = control.should_training_stop = True
