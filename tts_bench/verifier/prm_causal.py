"""Process reward models that answer with a token, read as a language model is: one token a step.

They need an engine and no more, and the engine's prefix cache serves the verifier as it serves
the policy: a step costs its own tokens, and not the whole solution up to it.
"""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Completion, Engine, Request
from tts_bench.engine.weights import load_error, local_path
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.steps import Aggregate, aggregate, split_steps
from tts_bench.types import Candidate, Problem, Sampling, Score
from tts_bench.verifier.asking import AskingVerifier
from tts_bench.verifier.backend import Reading, probability
from tts_bench.verifier.base import Scoring, VerifierInfo
from tts_bench.verifier.formats import FORMATS, Format, check_name, find_format
from tts_bench.verifier.rendering import Renderer

REMEMBERED = 1 << 16
"""Prefixes whose outcome is kept in memory."""
Prompt = tuple[int, ...]


@dataclass(frozen=True)
class CausalPRMVerifier(AskingVerifier):
    """P(right) of each step, from the log-probabilities of the two tokens that may follow it.

    For models whose format has the head `tokens` (Math-Shepherd 2312.08935, RLHFlow). A prefix
    that has been scored is not asked for again: a search asks once for each new step. A
    candidate without any step (an empty text) scores 0.
    """

    engine_needs: ClassVar[Collection[str]] = ("exact_tokens", "chosen_logprobs")

    format: str | Format | None = None
    """Name of a known format, or a record; None: that of the engine's model, if it is known."""
    delimiter: str = "\n\n"
    """What ends a step of a solution."""
    aggregate: Aggregate = "last"
    """How the steps' scores become the solution's: last, min, prod, mean, gmean or max."""

    def __post_init__(self) -> None:
        if not self.delimiter:
            raise ValueError("delimiter must not be empty")
        check_name(self.format, FORMATS)

    async def start(self, policy: Engine) -> VerifierInfo:
        """Start the engine. Raises ModelError if its model has no format of this kind."""
        # A server may have the model under a name that says nothing.
        model = getattr(self.engine, "tokenizer_model", None) or getattr(self.engine, "model", None)
        if self.engine is None or not isinstance(model, str):
            raise ModelError("verifier 'prm_causal' needs an `engine` of its own, with a `model`")
        form = find_format(self.format, model, ())
        if form.head != "tokens":
            raise ModelError(f"{model} is read at its head {form.head!r}: use verifier 'prm'")
        info = await super().start(policy)
        try:
            tokenizer = await asyncio.to_thread(_tokenizer, self.engine, model)
        except Exception as error:  # whatever the library raises at a model's files
            raise load_error(model, error) from error
        renderer = Renderer(form, tokenizer, self.delimiter)
        tokens = renderer.token(form.wrong_token), renderer.token(form.right_token)
        self.__dict__["_renderer"] = renderer
        self.__dict__["_steps"] = StepReader(self.engine, tokens)
        # The record counts, not its name: it is what decides the scores.
        return VerifierInfo(f"{info.recipe} {form}", info.model)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate; all steps that are new are asked for at once."""
        longest = self.longest
        renderer: Renderer = self.__dict__["_renderer"]
        reader: StepReader = self.__dict__["_steps"]
        prompts: list[list[Prompt]] = []
        for candidate in candidates:
            steps = split_steps(candidate.text, self.delimiter)
            reading = renderer.render(problem.text, steps) if steps else Reading((), ())
            # Refused here, for this scoring alone: others may wait for the same prefixes.
            if len(reading.token_ids) >= longest:
                raise VerifierError(
                    f"a solution has {len(reading.token_ids)} tokens with its problem, and the"
                    f" verifier's engine holds {longest}"
                )
            prompts.append([reading.token_ids[: at + 1] for at in reading.positions])
        done = await reader.read([prompt for own in prompts for prompt in own])
        return [self._scoring(own, done) for own in prompts]

    def _scoring(self, prompts: Sequence[Prompt], done: dict[Prompt, Completion]) -> Scoring:
        if not prompts:
            return Scoring(Score(0.0))
        steps = tuple(probability(done[prompt].first_logprobs) for prompt in prompts)
        calls = tuple(
            Call(prompt, 1, done[prompt].cached_prompt_tokens, shared=True) for prompt in prompts
        )
        return Scoring(Score(aggregate(steps, self.aggregate), steps), calls)


class StepReader:
    """Asks an engine for the two log-probabilities after a prefix, once for each prefix."""

    def __init__(self, engine: Engine, tokens: tuple[int, int]) -> None:
        self._engine = engine
        self._tokens = tokens
        # By a hash of the prompt: the prompts themselves would take most of the memory.
        self._known: dict[bytes, tuple[asyncio.Task[list[Completion]], int]] = {}

    async def read(self, prompts: Sequence[Prompt]) -> dict[Prompt, Completion]:
        """The completion of each prompt. Raises VerifierError if the engine fails at one."""
        wanted = {prompt: _digest(prompt) for prompt in prompts}
        fresh = {key: prompt for prompt, key in wanted.items() if key not in self._known}
        if fresh:
            self._ask(fresh)
        asked = {prompt: self._known[key] for prompt, key in wanted.items()}
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        # Shielded: another scoring may wait for the same prefixes.
        return {prompt: (await asyncio.shield(task))[at] for prompt, (task, at) in asked.items()}

    def _ask(self, prompts: Mapping[bytes, Prompt]) -> None:
        sampling = Sampling(max_tokens=1, temperature=0.0)
        requests = [Request(prompt, sampling, 0, self._tokens) for prompt in prompts.values()]
        task = asyncio.create_task(self._make(requests))
        self._known |= {key: (task, at) for at, key in enumerate(prompts)}

        def forget_failure(done: asyncio.Task[list[Completion]]) -> None:
            if done.cancelled() or done.exception() is not None:
                for key in prompts:
                    if self._known.get(key, (None, 0))[0] is done:
                        del self._known[key]

        task.add_done_callback(forget_failure)

    async def _make(self, requests: Sequence[Request]) -> list[Completion]:
        try:
            return await self._engine.generate_all(requests)
        except EngineError as error:
            raise VerifierError(f"the verifier's engine: {error}") from error


def _digest(prompt: Prompt) -> bytes:
    return hashlib.blake2b(array("q", prompt).tobytes(), digest_size=16).digest()


def _tokenizer(engine: Any, model: str) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        local_path(model),
        revision=getattr(engine, "revision", None),
        trust_remote_code=getattr(engine, "trust_remote_code", False),
    )
