"""What a server is and keeps, asked before anything is drawn from it; each failure is one line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.chat_start import PATHS
from tts_bench.engine.server.dialects import SGLangDialect, TokenDialect, Tools, VLLMDialect
from tts_bench.engine.server.llamacpp import LlamaCppDialect
from tts_bench.engine.server.pool import Refused, Unwell, send
from tts_bench.errors import EngineError, ModelError, did_you_mean
from tts_bench.types import Sampling

if TYPE_CHECKING:
    import aiohttp

TEXT = "Compute 2 + 3.\n\nnaïve 東京"
"""A text on which tokenizers of different models hardly agree."""
WARM = Sampling(max_tokens=8, temperature=2.0)
OTHERS = (2, 3, 4, 5)
"""Seeds of which at least one must give other tokens than the first."""

Draw = Callable[[Request], Awaitable[Completion]]

DIALECTS: Mapping[str, TokenDialect] = {
    one.name: one for one in (VLLMDialect(), SGLangDialect(), LlamaCppDialect())
}


@dataclass(frozen=True)
class Served:
    """What one server says of itself, before it was tried."""

    dialect: str
    version: str
    model: str
    max_model_len: int | None
    dtype: str = "as served"
    """llama.cpp: how its weights are packed."""
    weights: str = ""
    """Name of the file or folder with them, where it is told."""


@dataclass(frozen=True)
class Promises:
    """What a server was seen to keep; part of the run's manifest by the engine's name."""

    repeats: bool
    """Whether the same seed gave the same tokens twice."""
    first_logprobs: bool
    """Whether it gives log-probabilities of tokens that a request names."""
    tokenizer: bool
    """Whether its own tokenizer could be compared with the one here (and agreed)."""

    @property
    def said(self) -> str:
        """Only what is not kept."""
        lacking = {
            "seeds do not repeat": not self.repeats,
            "no chosen log-probs": not self.first_logprobs,
            "tokenizer not compared": not self.tokenizer,
        }
        return "".join(f" ({what})" for what, lacks in lacking.items() if lacks)


async def identify(client: aiohttp.ClientSession, url: str, dialect: str, model: str) -> Served:
    """Which kind of server listens there, and whether it has the model.

    Raises ModelError in one line: nobody listens, another kind of server, another model.
    """
    kinds = [dialect] if dialect != "auto" else list(DIALECTS)
    for kind in kinds:
        found = await _ask(client, url, _WHO[kind])
        if found is not None and (version := _VERSION[kind](found)) is not None:
            name, longest = await _MODEL[kind](client, url, model, found)
            weights = Path(str(found.get("model_path") or "")).name
            return Served(
                kind, version, name, longest, found.get("model_ftype") or "as served", weights
            )
    plain = await _ask(client, url, "/v1/models")
    if dialect == "vllm" and plain and "data" in plain:
        # A router before vLLM servers may pass on less; what is drawn shows what it is.
        name, longest = await _listed(client, url, model, plain)
        return Served(dialect, "of unknown version", name, longest)
    if dialect != "auto":
        passed = "/v1/models, or /version" if dialect == "vllm" else _WHO[dialect]
        hint = f"; does a router before it pass {passed} on?"
        raise ModelError(f"{url} answers, but not as {dialect} server does{hint}")
    hint = "; it takes chats: set dialect: chat" if await _takes_chats(client, url) else ""
    raise ModelError(f"{url} answers, but not as vLLM, SGLang or llama.cpp does{hint}")


async def _takes_chats(client: aiohttp.ClientSession, url: str) -> bool:
    """Whether there is a chat endpoint: a request that asks for nothing is refused as such."""
    for path in PATHS:
        try:
            await send(client, url, path, {})
        except Refused as refused:
            if refused.status in (404, 405):
                continue
        except Unwell:
            continue
        return True
    return False


async def try_out(
    client: aiohttp.ClientSession,
    url: str,
    served: Served,
    tokenizer: HuggingFaceTokenizer,
    vocabulary: int,
) -> Promises:
    """Draw a little, and see what is kept.

    Raises ModelError if numbers could not be trusted: another tokenizer, seeds that change nothing,
    no token ids, stop strings taken away.
    """
    dialect = DIALECTS[served.dialect]
    alike = await spells_alike(client, url, served, tokenizer)
    if alike is False:
        raise ModelError(
            f"{url} spells a text in other tokens than the tokenizer here: set tokenizer_model to"
            " that of the served model"
        )
    prompt = tokenizer.encode("Compute 2 + 3 + 4.") or (0,)

    async def ask(body: Mapping[str, Any], _: Sequence[int]) -> Mapping[str, Any]:
        return await send(client, url, dialect.path, body)

    async def draw(request: Request) -> Completion:
        special = bool(request.sampling.stop) and tokenizer.names_special(request.sampling.stop)
        body = dialect.payload(request, served.model, special, "probe")
        try:
            answer = await ask(body, prompt)
            answer = await dialect.filled(request, answer, Tools(ask, tokenizer, vocabulary))
            return dialect.complete(request, answer, tokenizer, vocabulary)
        except (EngineError, Unwell) as error:
            raise ModelError(f"{url}: a first completion failed: {error}") from error

    first, again = await draw(Request(prompt, WARM, 1)), await draw(Request(prompt, WARM, 1))
    others = [await draw(Request(prompt, WARM, seed)) for seed in OTHERS]
    if all(other.token_ids == first.token_ids for other in others):
        raise ModelError(f"{url}: another seed gives the same tokens, so all draws would be one")
    await _check_stop(url, draw, prompt)
    chosen = await _gives_chosen(draw, prompt)
    return Promises(first.token_ids == again.token_ids, chosen, alike is True)


async def _check_stop(url: str, draw: Draw, prompt: tuple[int, ...]) -> None:
    """Stop at a string of the greedy text; it must end there, with the string and its tokens."""
    greedy = Sampling(max_tokens=8, temperature=0.0)
    text = (await draw(Request(prompt, greedy, 0))).text
    stop = next((sign for sign in text[1:] if sign.strip()), "")
    if not stop:
        return
    stopped = await draw(Request(prompt, Sampling(8, temperature=0.0, stop=(stop,)), 0))
    if stop not in stopped.text or stopped.stop != stop:
        raise ModelError(f"{url}: the stop string {stop!r} is cut from the text, or passed over")


async def _gives_chosen(draw: Draw, prompt: tuple[int, ...]) -> bool:
    request = Request(prompt, Sampling(max_tokens=1), 0, logprob_ids=(0, 1))
    try:
        await draw(request)
    except ModelError:
        return False
    return True


async def spells_alike(
    client: aiohttp.ClientSession, url: str, served: Served, tokenizer: HuggingFaceTokenizer
) -> bool | None:
    """Whether the server makes the same tokens of a text; None if it cannot be asked."""
    asked = {
        "vllm": {"model": served.model, "prompt": TEXT, "add_special_tokens": False},
        "sglang": {"model": served.model, "prompt": TEXT, "add_special_tokens": False},
        "llamacpp": {"content": TEXT, "add_special": False},
    }[served.dialect]
    try:
        found = await send(client, url, "/tokenize", asked)
        return tuple(found["tokens"]) == tokenizer.encode(TEXT)
    except (EngineError, Unwell, KeyError, TypeError):
        return None


async def _ask(client: aiohttp.ClientSession, url: str, path: str) -> dict[str, Any] | None:
    """The answer of a server of this kind; None if it is of another."""
    try:
        return await send(client, url, path, None)
    except EngineError as error:
        if "(401)" in str(error) or "(403)" in str(error):
            raise ModelError(f"{error}; is the key in api_key_env right?") from error
        return None
    except Unwell as error:
        if str(error) == "its answer is no JSON":
            return None
        raise ModelError(f"no server answers at {url} ({error})") from error


async def _listed(
    client: aiohttp.ClientSession, url: str, model: str, _: Mapping[str, Any]
) -> tuple[str, int | None]:
    """The model by `/v1/models`, which must list it."""
    found = await _ask(client, url, "/v1/models")
    rows = {str(row.get("id")): row for row in (found or {}).get("data", [])}
    if model not in rows:
        there = ", ".join(rows) or "none"
        hint = did_you_mean(model, rows)
        raise ModelError(f"{url} does not serve {model!r}; it has {there}{hint}"[:400])
    return model, rows[model].get("max_model_len")


async def _only_one(
    client: aiohttp.ClientSession, url: str, model: str, props: Mapping[str, Any]
) -> tuple[str, int | None]:
    """The one model of a llama.cpp server, under whatever name it has there."""
    settings = props.get("default_generation_settings") or {}
    return model, settings.get("n_ctx") or props.get("n_ctx")


async def _by_path(
    client: aiohttp.ClientSession, url: str, model: str, info: Mapping[str, Any]
) -> tuple[str, int | None]:
    """The model that an SGLang server was started with."""
    there = {str(info.get("model_path")), str(info.get("served_model_name"))} - {"None"}
    if model not in there:
        raise ModelError(f"{url} does not serve {model!r}; it has {', '.join(sorted(there))}")
    return model, info.get("context_length") or info.get("max_model_len")


_WHO = {"vllm": "/version", "sglang": "/get_server_info", "llamacpp": "/props"}
_VERSION: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "vllm": lambda found: found.get("version"),
    "sglang": lambda found: found.get("version", "") if "model_path" in found else None,
    "llamacpp": lambda found: (
        found.get("build_info", "") if "default_generation_settings" in found else None
    ),
}
_MODEL = {"vllm": _listed, "sglang": _by_path, "llamacpp": _only_one}
