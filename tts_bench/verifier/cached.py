"""A verifier that remembers: each candidate is scored once, stored, and never scored again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call, common_prefix
from tts_bench.engine.base import Engine, EngineInfo, brief
from tts_bench.errors import ReplayMiss, VerifierError
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

_INFO = "verifier|"


class ScoreStore(Protocol):
    """What is needed of a generation store."""

    async def get_scores(self, keys: Sequence[str]) -> dict[str, Scoring]: ...
    async def put_scores(self, scorings: Mapping[str, Scoring]) -> dict[str, Scoring]: ...
    async def get_facts(self, prefix: str) -> dict[str, Any]: ...
    async def put_facts(self, prefix: str, facts: Mapping[str, Any]) -> None: ...


class CachedVerifier(Verifier):
    """Answers from the store where it can, and stores before it answers where it cannot.

    Candidates that are being scored already are joined, not scored twice: strategies that run
    at once share their scores as they share their draws. With `replay` the inner verifier is
    never started and a miss is an error. A `salt` keeps this run's scores apart. Scores that
    cost nothing (a verifier without a model) are not stored.
    """

    def __init__(
        self, verifier: Verifier, store: ScoreStore, *, replay: bool = False, salt: str = ""
    ) -> None:
        self._verifier = verifier
        self._store = store
        self._replay = replay
        self._salt = salt
        self._info = VerifierInfo("")
        self._in_flight: dict[str, asyncio.Future[Scoring]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._made: set[str] = set()

    def settings_key(self) -> str:
        """The inner verifier's."""
        return self._verifier.settings_key()

    async def start(self, policy: Engine) -> VerifierInfo:
        """Start the inner verifier; under `replay`, only recall what it once said of itself."""
        if self._replay:
            self._info = await self._recall_info(policy)
        else:
            self._info = await self._verifier.start(policy)
            await self._store.put_facts(_INFO, {self._fact(policy): asdict(self._info)})
        return self._info

    async def close(self) -> None:
        """Drop what is in flight and close the inner verifier."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._replay:
            await self._verifier.close()

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate, from the store if it is there."""
        if self._info.model is None:
            return await self._verifier.score(problem, candidates)
        identity = f"{self._info.identity}|{self._salt}"
        keys = [score_key(identity, problem, candidate) for candidate in candidates]
        waiting = {key: self._in_flight[key] for key in keys if key in self._in_flight}
        found = await self._store.get_scores([key for key in set(keys) if key not in waiting])
        # A score may have been asked for, made and stored by another attempt while we looked.
        if late := [key for key in set(keys) if key in self._made and key not in found]:
            found |= await self._store.get_scores(late)
        missing: dict[str, Candidate] = {}
        for key, candidate in zip(keys, candidates, strict=True):
            if key not in found and key not in waiting:
                if key in self._in_flight:  # another attempt began on it while we looked
                    waiting[key] = self._in_flight[key]
                else:
                    missing[key] = candidate
        if missing:
            waiting |= self._ask(problem, missing)
        # Shielded: another attempt may be waiting for the same score.
        own = [one for key, one in waiting.items() if key in missing]
        joined = [one for key, one in waiting.items() if key not in missing]
        await asyncio.gather(*(asyncio.shield(one) for one in own))
        others = (asyncio.shield(one) for one in joined)
        failures = await asyncio.gather(*others, return_exceptions=True)
        # What failed there may be a candidate of theirs that is none of ours: ask for ours alone.
        if any(isinstance(failure, VerifierError) for failure in failures):
            return await self.score(problem, candidates)
        return [found[key] if key in found else waiting[key].result() for key in keys]

    def _ask(
        self, problem: Problem, missing: Mapping[str, Candidate]
    ) -> dict[str, asyncio.Future[Scoring]]:
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[Scoring]] = {key: loop.create_future() for key in missing}
        self._in_flight |= futures
        task = asyncio.create_task(self._make(problem, missing, futures))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return futures

    async def _make(
        self,
        problem: Problem,
        missing: Mapping[str, Candidate],
        futures: Mapping[str, asyncio.Future[Scoring]],
    ) -> None:
        try:
            if self._replay:
                many = f"{len(missing)} scores were" if len(missing) > 1 else "a score was"
                raise ReplayMiss(f"{many} never recorded")
            made = await self._verifier.score(problem, list(missing.values()))
            if len(made) != len(missing):
                raise VerifierError(f"{len(made)} scores for {len(missing)} candidates")
            stored = await self._store.put_scores(dict(zip(missing, made, strict=True)))
            self._made.update(stored)
            for key, future in futures.items():
                future.set_result(stored[key])
        except BaseException as error:  # whoever waits must hear of it, whatever it is
            for future in futures.values():
                if not future.done():
                    _fail(future, error)
            if not isinstance(error, Exception):
                raise
        finally:
            for key in missing:
                del self._in_flight[key]

    def _fact(self, policy: Engine) -> str:
        """Under which it is kept what the verifier said of itself: it may ask the policy."""
        return f"{self.settings_key()}|{policy.settings_key()}"

    async def _recall_info(self, policy: Engine) -> VerifierInfo:
        facts = (await self._store.get_facts(_INFO)).get(self._fact(policy))
        if facts is None:
            raise ReplayMiss(f"nothing was ever recorded with {brief(self.settings_key())}")
        model = facts["model"]
        if model is not None:
            shape = model.pop("shape")
            model = EngineInfo(**model, shape=ModelShape(**shape) if shape else None)
        return VerifierInfo(facts["recipe"], model)


def _fail(future: asyncio.Future[Scoring], error: BaseException) -> None:
    if isinstance(error, Exception):
        future.set_exception(error)
        future.exception()  # marks it as seen: whoever waited may be gone
    else:
        future.cancel()


def score_key(identity: str, problem: Problem, candidate: Candidate) -> str:
    """Key of a score: a hash of the verifier's identity, the problem and the whole candidate.

    Ids and text both count: equal ids of two tokenizers are two texts, and a candidate that
    nobody has tokenized has a text alone.
    """
    digest = hashlib.blake2b(digest_size=16)
    for ids in (candidate.prompt_ids, candidate.token_ids):
        digest.update(array("q", (len(ids), *ids)).tobytes())
    # Whether it is finished decides whether its last piece is a whole step.
    rest = [identity, problem.text, candidate.text, candidate.finish_reason, candidate.stop]
    digest.update(json.dumps(rest).encode())
    return digest.hexdigest()


def pack(scoring: Scoring) -> bytes:
    """A scoring as bytes, for a store.

    The calls of one scoring mostly go on from each other: of each prompt only what the one
    before it does not begin with is kept.
    """
    fields = asdict(scoring)
    before: tuple[int, ...] = ()
    for call in fields["calls"]:
        ids = call.pop("prompt_ids")
        same = common_prefix(before, ids)
        call["prompt"], before = [same, *ids[same:]], ids
    return zlib.compress(json.dumps(fields, separators=(",", ":")).encode(), 1)


def unpack(data: bytes) -> Scoring:
    """The scoring that `pack` wrote."""
    fields = json.loads(zlib.decompress(data))
    calls: list[Call] = []
    before: tuple[int, ...] = ()
    for call in fields["calls"]:
        same, *rest = call.pop("prompt")
        before = (*before[:same], *rest)
        calls.append(Call(prompt_ids=before, **call))
    value, steps = fields["score"]["value"], tuple(fields["score"]["steps"])
    return Scoring(Score(value, steps), tuple(calls))
