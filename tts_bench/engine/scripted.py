"""An engine that a function plays: for tests, of this package and of its users' plug-ins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tts_bench.cost.flops import ModelShape
from tts_bench.engine.base import FURTHER, Completion, Engine, EngineInfo, Request
from tts_bench.engine.reopen import Reopened
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError

Script = Callable[[str, Request], "str | Completion"]
"""(text of the prompt, request) -> what the model writes, or a whole Completion."""


@dataclass(frozen=True)
class ScriptedEngine(Engine):
    """Calls `script` for every request; a token is a character, its id the code point.

    What the script returns is cut at the first stop string or token, at `max_tokens` and at the end
    of the context, as a model's output is; each token has a log-probability of -0.1, and at the
    first position every other one of `logprob_ids` has -10. Other settings are the script's own
    business. An exception that it raises is raised by `generate`, so failures can be scripted too.

    >>> engine = ScriptedEngine(lambda prompt, request: f"{prompt} is 2.")
    """

    draws_with: ClassVar[frozenset[str]] = FURTHER

    script: Script
    shape: ModelShape | None = None
    max_model_len: int = 1 << 20

    async def start(self) -> EngineInfo:
        """Nothing to load; an engine that was closed answers again."""
        self.__dict__.pop("_closed", None)
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

    @property
    def tokenizer(self) -> Tokenizer:
        """Characters; there without a start."""
        return CharacterTokenizer()

    async def close(self) -> None:
        """Nothing to free; later requests fail with EngineError."""
        self.__dict__["_closed"] = True

    def settings_key(self) -> str:
        """The script's name stands for it."""
        return f"scripted {getattr(self.script, '__name__', 'script')}"

    async def generate(self, request: Request) -> Completion:
        """Ask the script, after giving other tasks a turn as a real engine would."""
        if "_closed" in self.__dict__:
            raise EngineError("the engine is closed")
        request.check(self.max_model_len, sys.maxunicode + 1)
        await asyncio.sleep(0)
        written = self.script(self.tokenizer.decode(request.prompt_ids), request)
        if isinstance(written, Completion):
            return written
        room = self.max_model_len - len(request.prompt_ids)
        return _cut(written, request, min(room, request.sampling.max_tokens))


class CharacterTokenizer(Tokenizer):
    """A token is a character, its id the code point; no token is special."""

    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Code points."""
        return tuple(map(ord, text))

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """The messages' contents, line by line."""
        return self.encode("".join(f"{message['content']}\n" for message in messages))

    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        """Characters."""
        return "".join(map(chr, token_ids))

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """Take the marker back; the end of a turn is no token here."""
        if not markers:
            return Reopened(len(token_ids), len(token_ids))
        return super().reopen(prompt_ids, token_ids, markers, whole)


def _cut(text: str, request: Request, room: int) -> Completion:
    sampling = request.sampling
    ends: list[tuple[int, str | None]] = [
        (text.index(stop) + len(stop), stop) for stop in sampling.stop if stop in text
    ]
    characters = map(chr, sampling.stop_token_ids)
    ends += [(text.index(one) + 1, None) for one in characters if one in text]
    end, stop = min(ends, key=lambda found: found[0], default=(len(text), None))
    cut = end > room
    text = text[: min(end, room)]
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
