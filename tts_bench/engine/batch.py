"""The requests that are decoded together: who joins, what each draws next, who is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.decode import Decoder
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.past import Past, Said, bad_word_ids
from tts_bench.engine.sampler import Noise, SamplingMetadata, draw, noise
from tts_bench.engine.stop_strings import StopStrings
from tts_bench.errors import EngineError
from tts_bench.types import FinishReason


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request and where its completion is awaited."""

    request: Request
    future: Future[Completion]


@dataclass(slots=True)
class DecodingRow:
    """A request while it is decoded."""

    job: PendingRequest
    noise: Noise
    stops: StopStrings
    bad_words: tuple[tuple[int, ...], ...]
    cached: int
    token_ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    first_logprobs: tuple[float, ...] = ()

    @property
    def last_token(self) -> int:
        """The token that the next step appends."""
        return self.token_ids[-1] if self.token_ids else self.job.request.prompt_ids[-1]

    @property
    def said(self) -> Said:
        """What its next token is drawn by."""
        request = self.job.request
        return Said(request.sampling, request.prompt_ids, self.token_ids, self.bad_words)


class Batch:
    """Rows of a decoder, each with its own settings, seed and end."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: HuggingFaceTokenizer,
        end_ids: frozenset[int],
        max_model_len: int,
    ) -> None:
        self.decoder, self.tokenizer, self.end_ids = decoder, tokenizer, end_ids
        self.max_model_len = max_model_len
        self.rows: list[DecodingRow] = []
        # Noise is made on the CPU or a CUDA device; others (MPS has no float64) draw on the CPU.
        kind = decoder.device.type
        self.draw_device = decoder.device if kind == "cuda" else torch.device("cpu")
        self._metadata: SamplingMetadata | None = None
        self._past: Past | None = None
        self._exponentials = torch.empty(0, 0, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.rows)

    def join(self, jobs: Sequence[PendingRequest]) -> None:
        """Add requests; a prompt that is decoded already, or comes twice, is not computed again."""
        at = {row.job.request.prompt_ids: i for i, row in enumerate(self.rows)}
        fresh: dict[tuple[int, ...], PendingRequest] = {}
        shared: dict[tuple[int, ...], list[PendingRequest]] = {}
        for job in jobs:
            prompt = job.request.prompt_ids
            if prompt in at or prompt in fresh:
                shared.setdefault(prompt, []).append(job)
            else:
                fresh[prompt] = job
        at |= {prompt: len(self.rows) + i for i, prompt in enumerate(fresh)}
        self.decoder.join(list(fresh))
        self.rows += [self._row(job, cached=0) for job in fresh.values()]
        for prompt, same in shared.items():
            computed = len(prompt) - 1
            self.decoder.rows.fork(at[prompt], computed, len(same))
            self.rows += [self._row(job, cached=computed) for job in same]
        self._metadata = None

    def step(self) -> None:
        """Draw one token for every row; rows that end by it leave, and their futures are set."""
        logits = self.decoder.step([row.last_token for row in self.rows]).to(self.draw_device)
        if self._metadata is None:
            samplings = [row.job.request.sampling for row in self.rows]
            self._metadata = SamplingMetadata(samplings, self.draw_device)
            said = [row.said for row in self.rows]
            self._past = Past.of(said, logits.shape[-1], self.draw_device)
        self._note_first(logits)
        tokens, logprobs = draw(logits, self._metadata, self._noise(logits), self._past)
        if self._past is not None:
            self._past.note(tokens)
        for row, token, logprob in zip(self.rows, tokens.tolist(), logprobs.tolist(), strict=True):
            row.token_ids.append(token)
            row.logprob += logprob
        for index in reversed(range(len(self.rows))):
            if (outcome := self._outcome(self.rows[index])) is not None:
                deliver(self.rows[index].job.future, outcome)
                self._remove(index)

    def drop_cancelled(self) -> None:
        """Remove the rows that nobody waits for any more."""
        for index in reversed(range(len(self.rows))):
            if self.rows[index].job.future.cancelled():
                self._remove(index)

    def clear(self) -> list[PendingRequest]:
        """Remove all rows, free their memory and return their jobs."""
        jobs = [row.job for row in self.rows]
        self.rows, self._metadata = [], None
        self.decoder.rows.clear()
        return jobs

    def _row(self, job: PendingRequest, cached: int) -> DecodingRow:
        request = job.request
        strings = request.sampling.stop
        special = bool(strings) and self.tokenizer.names_special(strings)
        stops = StopStrings(self.tokenizer, strings, special)
        words = bad_word_ids(request.sampling.bad_words, self.tokenizer)
        return DecodingRow(job, noise(request.seed, self.draw_device), stops, words, cached)

    def _remove(self, index: int) -> None:
        self.decoder.rows.remove(index)
        self.rows[index] = self.rows[-1]
        self.rows.pop()
        self._metadata = None

    def _noise(self, like: Tensor) -> Tensor:
        rows, vocabulary = like.shape
        if self._exponentials.shape[0] < rows:
            shape = (rows, vocabulary)
            self._exponentials = torch.ones(shape, dtype=torch.float64, device=self.draw_device)
        for row, out in zip(self.rows, self._exponentials, strict=False):
            if row.job.request.sampling.temperature > 0:
                row.noise.fill(out)
        return self._exponentials[:rows]

    def _note_first(self, logits: Tensor) -> None:
        """Keep the log-probabilities that rows at their first position have been asked for."""
        for i, row in enumerate(self.rows):
            if not row.token_ids and (ids := row.job.request.logprob_ids):
                row.first_logprobs = tuple(logits[i].double().log_softmax(-1)[list(ids)].tolist())

    def _outcome(self, row: DecodingRow) -> Completion | EngineError | None:
        """The completion, or what went wrong, or None if the row goes on."""
        request, count = row.job.request, len(row.token_ids)
        if not all(map(math.isfinite, (row.logprob, *row.first_logprobs))):
            return EngineError("the model's output is not a number: are its weights damaged?")
        if row.token_ids[-1] in self.end_ids | set(request.sampling.stop_token_ids):
            return self._completion(row, "stop", None)
        if (stop := row.stops.found(row.token_ids)) is not None:
            return self._completion(row, "stop", stop)
        if count >= request.sampling.max_tokens:
            return self._completion(row, "length", None)
        if len(request.prompt_ids) + count >= self.max_model_len:
            return self._completion(row, "length", None)
        return None

    def _completion(self, row: DecodingRow, reason: FinishReason, stop: str | None) -> Completion:
        return Completion(
            token_ids=tuple(row.token_ids),
            text=self.tokenizer.added_text(row.job.request.prompt_ids, row.token_ids),
            logprob=row.logprob,
            finish_reason=reason,
            stop=stop,
            cached_prompt_tokens=row.cached,
            first_logprobs=row.first_logprobs,
        )


def deliver(future: Future[Completion], outcome: Completion | Exception) -> None:
    """Set a future that may have been cancelled in this very moment."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
