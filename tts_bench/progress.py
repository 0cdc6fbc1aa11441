"""Progress of a run for its user: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Literal, TextIO, TypeVar

from tqdm import tqdm

from tts_bench.errors import printable
from tts_bench.secrets.masking import hide

T = TypeVar("T")
Display = Literal["auto", "bar", "plain", "none"]
_LINE_EVERY = 10.0
_HEARTBEAT_EVERY = 10.0
_LOOK_EVERY = 1.0


class Progress:
    """Counts finished attempts (`unit`s) and generated tokens; `display` decides how that is shown.

    `auto` is a bar where standard error is a terminal, and otherwise a line every ten seconds,
    which reads well in a log.
    """

    def __init__(
        self, display: Display = "auto", stream: TextIO | None = None, unit: str = "attempt"
    ) -> None:
        self._stream = stream or sys.stderr
        if display == "auto":
            display = "bar" if self._stream.isatty() else "plain"
        self._display = display
        self._unit = unit
        self._bar: tqdm[Any] | None = None
        self._total = self._done = self._before = self._failed = 0
        self._began = self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._display == "none":
            return
        text = printable(hide(text))
        with contextlib.suppress(OSError):  # a terminal that is gone ends no run
            if self._bar is not None:
                self._bar.write(text, file=self._stream)
            else:
                print(text, file=self._stream, flush=True)

    @contextlib.asynccontextmanager
    async def counting(
        self, total: int, done: int, tokens: Callable[[], int]
    ) -> AsyncIterator[None]:
        """Count while this is held, and tell of tokens from the first completion on.

        The first attempt may end long after that. `tokens` says how many were generated so far.
        """
        self.start(total, done)
        ticking = asyncio.create_task(self._tick(tokens))
        try:
            yield
        finally:
            ticking.cancel()
            self.stop()

    async def _tick(self, tokens: Callable[[], int]) -> None:
        told = False
        while True:
            is_due = not told or time.monotonic() - self._last_line >= _LINE_EVERY
            if is_due and tokens():
                self._tell(tokens())
                told = True
            await asyncio.sleep(_LOOK_EVERY)

    def passing(self, what: str, items: Iterable[T]) -> Iterator[T]:
        """The items as they come; where that takes long, how many there were, again and again."""
        began = time.monotonic()
        last = began
        for number, item in enumerate(items, start=1):
            yield item
            if (now := time.monotonic()) - last >= _LINE_EVERY:
                last = now
                self.say(f"{what} ... {number:,} rows, {now - began:.0f} s")

    def start(self, total: int, done: int) -> None:
        """Begin counting: `done` of `total` attempts are there from an earlier run."""
        self._total, self._done, self._before = total, done, done
        self._began = self._last_line = time.monotonic()
        if self._display == "bar":
            self._bar = tqdm(
                total=total, initial=done, unit=self._unit, file=self._stream, smoothing=0.05
            )

    def advance(self, *, failed: bool, tokens: int | None) -> None:
        """One more attempt is finished; `tokens` were generated in this run so far.

        None where nothing is generated.
        """
        self._done += 1
        self._failed += failed
        if self._bar is not None:
            self._bar.set_postfix_str(self._rate(tokens), refresh=False)
            self._bar.update()
        elif time.monotonic() - self._last_line >= _LINE_EVERY:
            self._tell(tokens)

    def _tell(self, tokens: int | None) -> None:
        self._last_line = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self._rate(tokens))
            return
        counted = f"{self._done}/{self._total} {self._unit}s"
        left = f", {self._time_left()}" if self._done > self._before else ""
        rate = self._rate(tokens)
        self.say(f"{counted}{f', {rate}' if rate else ''}{left}")

    def stop(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @contextlib.asynccontextmanager
    async def heartbeat(
        self, what: str, tokens: Callable[[], int] | None = None
    ) -> AsyncIterator[None]:
        """Say that something long is under way, again and again until it is done.

        `tokens` says how many were generated so far, where it is about them.
        """
        began = time.monotonic()
        self.say(f"{what} ...")

        async def beat() -> None:
            while True:
                await asyncio.sleep(_HEARTBEAT_EVERY)
                seconds = time.monotonic() - began
                made = f", {tokens():,} tokens, {tokens() / seconds:,.0f} tok/s" if tokens else ""
                self.say(f"{what} ... {seconds:.0f} s{made}")

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()

    def _rate(self, tokens: int | None) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        failed = f", {self._failed} failed" if self._failed else ""
        if tokens is None:
            return failed.removeprefix(", ")
        return f"{tokens:,} tokens, {tokens / seconds:,.0f} tok/s{failed}"

    def _time_left(self) -> str:
        made = self._done - self._before
        seconds = (time.monotonic() - self._began) / made * (self._total - self._done)
        return f"about {tqdm.format_interval(seconds)} left"
