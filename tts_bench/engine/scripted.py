"""An engine that a function plays: for tests, of this package and of its users' plug-ins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts_bench.cost.flops import ModelShape
from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.reopen import Reopened, reopen

Script = Callable[[str, Request], "str | Completion"]
"""(text of the prompt, request) -> what the model writes, or a whole Completion."""


@dataclass(frozen=True)
class ScriptedEngine(Engine):
    """Calls `script` for every request; a token is a character, its id the code point.

    What the script returns is cut at the first stop string and at `max_tokens`, as a model's
    output is; each token has a log-probability of -0.1, and at the first position every other
    one of `logprob_ids` has -10. An exception that the script raises is
    raised by `generate`, so failures can be scripted too.

    >>> engine = ScriptedEngine(lambda prompt, request: f"{prompt} is 2.")
    """

    script: Script
    shape: ModelShape | None = None
    max_model_len: int = 1 << 20

    async def start(self) -> EngineInfo:
        """Nothing to load."""
        return self.info

    @property
    def info(self) -> EngineInfo:
        """Known without a start."""
        return EngineInfo(
            engine="scripted",
            model=getattr(self.script, "__name__", "script"),
            revision="",
            dtype="",
            max_model_len=self.max_model_len,
            shape=self.shape,
            shape_note="" if self.shape else "a scripted engine has no model",
        )

    async def close(self) -> None:
        """Nothing to free."""

    def settings_key(self) -> str:
        """The script's name stands for it."""
        return f"scripted {getattr(self.script, '__name__', 'script')}"

    async def generate(self, request: Request) -> Completion:
        """Ask the script, after giving other tasks a turn as a real engine would."""
        await asyncio.sleep(0)
        written = self.script(_text(request.prompt_ids), request)
        return written if isinstance(written, Completion) else _cut(written, request)

    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Code points."""
        return tuple(map(ord, text))

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """The messages' contents, line by line."""
        return self.encode("".join(f"{message['content']}\n" for message in messages))

    def decode(self, token_ids: tuple[int, ...]) -> str:
        """Characters."""
        return _text(token_ids)

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """Without the marker; the end of a turn is no token here."""
        if not markers:
            return Reopened(len(token_ids), len(token_ids))
        return reopen(token_ids, markers, whole, show=_text, plain=_text, encode=self.encode)


def _text(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def _cut(text: str, request: Request) -> Completion:
    sampling = request.sampling
    ends = [(text.index(stop) + len(stop), stop) for stop in sampling.stop if stop in text]
    end, stop = min(ends, default=(len(text), None))
    cut = end > sampling.max_tokens
    text = text[: min(end, sampling.max_tokens)]
    return Completion(
        token_ids=tuple(map(ord, text)),
        text=text,
        logprob=-0.1 * len(text),
        finish_reason="length" if cut else "stop",
        stop=None if cut else stop,
        first_logprobs=tuple(
            -0.1 if text and token == ord(text[0]) else -10.0 for token in request.logprob_ids
        ),
    )
