"""A verifier that remembers: each candidate is scored once, stored, and never scored again."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from tts_bench.concurrency.memo import Memo
from tts_bench.concurrency.upkeep import KeptModel
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call, common_prefix
from tts_bench.engine import failures
from tts_bench.engine.base import Engine, EngineInfo, brief
from tts_bench.errors import ReplayMiss, VerifierError
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo
from tts_bench.verifier.soundness import sound

_INFO = "verifier|"
_Asked = tuple[Problem, Candidate]
_CALL = ("completion_tokens", "cached_prompt_tokens", "logits", "known_prompt_tokens", "shared")
"""What every stored call has; `prompt_tokens` came later, and is stored if it says something."""


class ScoreStore(Protocol):
    """The part of a generation store that is needed here."""

    async def get_scores(self, keys: Sequence[str]) -> dict[str, Scoring]: ...
    async def put_scores(self, scorings: Mapping[str, Scoring]) -> dict[str, Scoring]: ...
    async def get_facts(self, prefix: str) -> dict[str, Any]: ...
    async def put_facts(self, prefix: str, facts: Mapping[str, Any]) -> None: ...


class CachedVerifier(Verifier):
    """Answers from the store if it can, and stores before it answers if it cannot.

    Candidates that are being scored already are joined, not scored twice: strategies that run
    at once share their scores as they share their draws. With `replay` the inner verifier is
    never started and a miss is an error. A `salt` keeps this run's scores apart. Scores that
    cost nothing (a verifier without a model) are not stored. An inner verifier that dies is
    started anew, as its `upkeep` has it, and `say` is told.
    """

    def __init__(
        self,
        verifier: Verifier,
        store: ScoreStore,
        *,
        replay: bool = False,
        salt: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        for part in (verifier, getattr(verifier, "engine", None)):
            if isinstance(part, Verifier | Engine):
                object.__setattr__(part, "say", say)  # both are frozen
        self._verifier = verifier
        self._store = store
        self._replay = replay
        self._salt = salt
        self._say = say
        self._info = VerifierInfo("")
        self._kept: KeptModel[VerifierInfo] | None = None
        self._memo: Memo[str, _Asked, Scoring] = Memo(store.get_scores, self._make, together=True)

    def settings_key(self) -> str:
        """The inner verifier's."""
        return self._verifier.settings_key()

    async def start(self, policy: Engine) -> VerifierInfo:
        """Start the inner verifier; under `replay`, only recall what it once said of itself."""
        if self._replay:
            self._info = await self._recall_info(policy)
        else:
            own = self._verifier
            self._kept = KeptModel(
                "the verifier", own.upkeep, lambda: own.start(policy), own.close, self._say
            )
            self._info = await self._kept.start()
            await self._store.put_facts(_INFO, {self._fact(policy): asdict(self._info)})
        return self._info

    async def close(self) -> None:
        """Drop what is in flight and close the inner verifier."""
        await self._memo.close()
        if self._kept is not None:
            await self._kept.close()

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate, from the store if it is there."""
        if self._info.model is None:
            return await self._ask(problem, candidates)
        identity = f"{self._info.identity}|{self._salt}"
        keys = [score_key(identity, problem, candidate) for candidate in candidates]
        asked = {key: (problem, one) for key, one in zip(keys, candidates, strict=True)}
        found = await self._memo.get(asked)
        return [found[key] for key in keys]

    async def _make(self, asked: Mapping[str, _Asked]) -> dict[str, Scoring]:
        if self._replay:
            if said := await failures.recall(self._store, list(asked)):
                raise VerifierError(said)
            many = f"{len(asked)} scores were" if len(asked) > 1 else "a score was"
            raise ReplayMiss(f"{many} never recorded")
        [problem] = {problem for problem, _ in asked.values()}
        try:
            made = await self._ask(problem, [candidate for _, candidate in asked.values()])
        except Exception as error:
            told = failures.told(error, VerifierError)
            await failures.keep(self._store, list(asked), told)
            if told is error:
                raise
            raise told from error
        return await self._store.put_scores(dict(zip(asked, made, strict=True)))

    async def _ask(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        if self._kept is None:  # a replay asks verifiers that need no start
            made = await self._verifier.score(problem, candidates)
        else:
            made = await self._kept.call(lambda: self._verifier.score(problem, candidates))
        return sound(made, len(candidates))

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
    calls = []
    before: tuple[int, ...] = ()
    for call in scoring.calls:
        same = common_prefix(before, call.prompt_ids)
        counts = {name: getattr(call, name) for name in _CALL}
        if call.prompt_tokens is not None:
            counts["prompt_tokens"] = call.prompt_tokens
        calls.append(counts | {"prompt": [same, *call.prompt_ids[same:]]})
        before = call.prompt_ids
    score = {"value": scoring.score.value, "steps": scoring.score.steps}
    whole = {"score": score, "calls": calls}
    return zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), 1)


def unpack(data: bytes) -> Scoring:
    """The scoring that `pack` wrote."""
    found = json.loads(zlib.decompress(data))
    calls: list[Call] = []
    before: tuple[int, ...] = ()
    for call in found["calls"]:
        same, *rest = call.pop("prompt")
        before = (*before[:same], *rest)
        calls.append(Call(prompt_ids=before, **call))
    value, steps = found["score"]["value"], tuple(found["score"]["steps"])
    return Scoring(Score(value, steps), tuple(calls))
