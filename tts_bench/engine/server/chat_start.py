"""What a chat endpoint is and keeps, asked before a run begins; each failure is one line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.server.chat import ChatDialect
from tts_bench.engine.server.messages import VOCABULARY, MessageTokenizer
from tts_bench.engine.server.pool import Refused, Unwell, send
from tts_bench.errors import EngineError, ModelError, did_you_mean
from tts_bench.types import Sampling

if TYPE_CHECKING:
    import aiohttp

TOKENIZER = MessageTokenizer()
QUESTION = "Write down ten words at random."
"""What two draws hardly ever answer alike."""
WARM = Sampling(max_tokens=32, temperature=1.0)
OTHERS = (2, 3, 4, 5)
"""Seeds of which at least one must give another text than the first."""
TRIES = 5
"""How often an endpoint that is busy at the start is asked."""
_LENGTHS = ("max_tokens", "max_completion_tokens")
PATHS = ("/v1/chat/completions", "/chat/completions")
"""Most endpoints have a version in their path; some have one of another name in the base URL."""
_VARIANTS = 8
"""More than there are ways to ask: other path, length and its field, no seed, nothing neutral."""
_TOO_SHORT = re.compile("greater|larger|at least|minimum|too small", re.IGNORECASE)
LONG = 8192
"""Longest completion of a trial where a provider's own fields want room for thinking."""


@dataclass(frozen=True)
class Way:
    """How an endpoint is asked, and for how much in a trial."""

    dialect: ChatDialect
    most: int = WARM.max_tokens


@dataclass(frozen=True)
class Kept:
    """How an endpoint is to be asked, which model it says it runs, and what it does not keep."""

    dialect: ChatDialect
    revision: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ChatStart:
    """Asks endpoints what they are; `length_field` is given if it need not be found out."""

    client: aiohttp.ClientSession
    model: str
    key_env: str | None
    length_field: str | None = None

    async def meet(self, urls: Sequence[str], dialect: ChatDialect) -> Kept:
        """Try all endpoints; a later one must be asked as the first one is.

        Raises ModelError: nobody there, another model, a wrong key, all seeds alike.
        """
        kept = await self._meet_one(urls[0], dialect)
        notes = dict.fromkeys(kept.notes)
        for url in urls[1:]:
            other = await self._meet_one(url, dialect)
            if (other.dialect, other.revision) != (kept.dialect, kept.revision):
                raise ModelError(f"{url} is not as {urls[0]} is: it has another model or interface")
            notes |= dict.fromkeys(other.notes)
        return replace(kept, notes=tuple(notes))

    async def _meet_one(self, url: str, dialect: ChatDialect) -> Kept:
        await self._check_listed(url)
        way, answer, first = await self._first(url, dialect)
        again, _ = await self._draw(url, way, 1)
        dialect = way.dialect
        notes = [] if dialect.sends_seed else ["it takes no seeds"]
        if dialect.sends_seed and again.text != first.text:
            notes.append("the same seed gave two texts")
        if first.written is None:
            notes.append("it does not count tokens")
        elif first.written > 2 * way.most:
            notes.append("it writes more tokens than it is asked for")
        if first.text:
            await self._check_seeds(url, way, first)
        said = answer.get("model")
        # llama.cpp names a file, whose folder says nothing of the model.
        name = said.rpartition("/")[2] if isinstance(said, str) and said.startswith("/") else said
        return Kept(dialect, name if isinstance(name, str) else "", tuple(notes))

    async def _check_listed(self, url: str) -> None:
        """The model must be among those that the endpoint lists, if it lists any."""
        rows: Any = None
        for path in ("/v1/models", "/models"):
            try:
                found = await self._send(url, path, None)
                rows = found.get("data", found.get(""))  # some answer with the bare list
            except Refused:
                continue
            break
        named = rows if isinstance(rows, list) else []
        names = [str(row["id"]) for row in named if isinstance(row, Mapping) and "id" in row]
        if names and not any(_is_listed(self.model, name) for name in names):
            near = did_you_mean(self.model, names)
            there = "" if near else f"; it has {', '.join(names)}"
            raise ModelError(f"{url} does not list {self.model!r}{near}{there}"[:400])

    async def _first(
        self, url: str, dialect: ChatDialect
    ) -> tuple[Way, Mapping[str, Any], Completion]:
        """A first completion, and the way in which it came.

        What an endpoint refuses by name is left out or called otherwise, once each.
        """
        way = Way(replace(dialect, length_field=self.length_field or _LENGTHS[0]))
        for _ in range(_VARIANTS):
            try:
                done, answer = await self._draw(url, way, 1)
            except Refused as refused:
                other = self._other(way, refused)
                if other is None:
                    raise ModelError(f"{url}: a first completion failed: {refused}") from refused
                way = other
                continue
            return way, answer, done
        raise ModelError(f"{url} refuses every way to ask that is known here")

    def _other(self, way: Way, refused: Refused) -> Way | None:
        """How else the endpoint may be asked, by what it has refused; None if no other way."""
        dialect = way.dialect
        if refused.status in (404, 405) and "model" not in refused.said.lower():
            other = replace(dialect, path=PATHS[1])
            return None if other == dialect else replace(way, dialect=other)
        if refused.status not in (400, 422):
            return None
        named = set(re.findall(r"\w+", f"{refused.about} {refused.said}"))
        if named & {*_LENGTHS}:
            if way.most < LONG and _TOO_SHORT.search(refused.said):
                return replace(way, most=LONG)
            return self._otherwise_long(way, refused.said)
        if "seed" in named and dialect.sends_seed:
            return replace(way, dialect=replace(dialect, sends_seed=False))
        if neutral := named & {"temperature", "top_p"} - dialect.leaves_out:
            leaves_out = dialect.leaves_out | neutral
            return replace(way, dialect=replace(dialect, leaves_out=leaves_out))
        return None

    def _otherwise_long(self, way: Way, said: str) -> Way | None:
        """With the other name of the longest completion, unless this one is wanted."""
        [other] = set(_LENGTHS) - {way.dialect.length_field}
        if self.length_field or f"'{way.dialect.length_field}' instead" in said:
            return None
        return replace(way, dialect=replace(way.dialect, length_field=other))

    async def _check_seeds(self, url: str, way: Way, first: Completion) -> None:
        for seed in OTHERS:
            if (await self._draw(url, way, seed))[0].text != first.text:
                return
        raise ModelError(f"{url}: another seed gives the same text, so all draws would be one")

    async def _draw(self, url: str, way: Way, seed: int) -> tuple[Completion, Mapping[str, Any]]:
        prompt = TOKENIZER.encode_chat([{"role": "user", "content": QUESTION}], {})
        request = Request(prompt, replace(WARM, max_tokens=way.most), seed)
        body = way.dialect.payload(request, self.model, special=False, salt="")
        answer = await self._send(url, way.dialect.path, body)
        try:
            return way.dialect.complete(request, answer, TOKENIZER, VOCABULARY), answer
        except EngineError as error:
            raise ModelError(f"{url}: a first completion failed: {error}") from error

    async def _send(self, url: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """The answer; one that is busy is asked again. Raises Refused, or ModelError."""
        for attempt in range(TRIES):
            try:
                return await send(self.client, url, path, body)
            except Refused as refused:
                raise refused.of_the_account(self.key_env) or refused from None
            except Unwell as unwell:
                said = unwell
                if not unwell.busy and not str(unwell).startswith(("500", "502", "503", "529")):
                    break
                await asyncio.sleep(unwell.wait or 0.25 * 2**attempt)
        if str(said) == "its answer is no JSON":
            raise Refused(f"{url}{path}: {said}", 404, str(said), "")
        what = "too busy" if said.busy else "no server answers"
        raise ModelError(f"{what} at {url}{path} ({said})")


def _is_listed(model: str, name: str) -> bool:
    """Whether a listed name is the model's: some lists add a tag or a folder (Ollama, llama.cpp).

    A first completion follows, so a name that is no more than similar is found out.
    """
    plain = name.rpartition("/")[2].removesuffix(".gguf")
    return model in (name, plain, f"{plain}.gguf") or name in (
        f"{model}:latest",
        model.partition(":")[0],
    )
