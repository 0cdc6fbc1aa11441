"""A labeller's access to one trace: the policy through sessions, the grader for answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tts_bench.answers.extract import boxed, extract
from tts_bench.answers.grader import Grading
from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import TtsBenchError, quoted
from tts_bench.labelling.trace import Trace
from tts_bench.prompt import Dialogue, Prompt
from tts_bench.strategy.session import Session
from tts_bench.types import Candidate, FinishReason, Problem, Sampling, Usage
from tts_bench.verifier.confidence import ConfidenceVerifier

RIGHT, WRONG, CUT_OFF, NOT_GRADED = "1", "0", "-", "?"


@dataclass(frozen=True)
class Desk:
    """What all traces of a job share.

    `engine` draws, and remembers what it drew. Texts are encoded by `tokenizer`, which is that of
    the engine without the memory: a replay of labels is not offered, and the prefixes of a
    million steps would only fill the store.
    """

    engine: Engine
    tokenizer: Tokenizer
    info: EngineInfo
    grader: Grading
    prompt: Prompt
    sampling: Sampling
    seed: int


class Probe:
    """Access to policy and grader on behalf of one trace; meters all of it together."""

    def __init__(self, trace: Trace, desk: Desk) -> None:
        self.trace = trace
        self._desk = desk
        shape = desk.info.shape
        self._ledger = Ledger(Meter(shape), Meter(None, has_model=False), Budget())
        self._questions: dict[str, Session] = {}

    @property
    def usage(self) -> Usage:
        """What the policy has been asked to do for this trace so far."""
        return self._ledger.policy.usage

    def check_fits(self, steps: int) -> None:
        """Raise TtsBenchError if the first `steps` steps leave the policy no room to go on.

        To be called before anything is spent on the trace.
        """
        length, longest = len(self._after(steps).prompt_ids), self._desk.info.max_model_len
        if steps and length >= longest:
            raise TtsBenchError(
                f"step {steps} of {len(self.trace.steps)} ends at token {length}, and the model "
                f"reads {longest}: nothing can be drawn behind it"
            )

    async def rollouts(self, steps: int, n: int) -> str:
        """Complete the first `steps` steps `n` times; one outcome per draw (see `Labels`).

        The prefix belongs to the prompt, so its draws are those of anyone who completes the same
        text: traces that begin alike share them, and the first k of n are the same for any n.
        """
        prefix = self.trace.prefix(steps)
        drawn = await self._session(self._after(steps)).sample(n)
        thinking = self._after(0).opens_thinking
        found = [final_answer(prefix + one.text, one.finish_reason, thinking) for one in drawn]
        verdicts = await self._desk.grader.grade(self._reference, found)
        return "".join(
            _outcome(one, answer, verdict)
            for one, answer, verdict in zip(drawn, found, verdicts, strict=True)
        )

    async def own_answer(self) -> bool | None:
        """Whether the trace ends in the right answer; None if it was cut off before one.

        Raises TtsBenchError if the grader could not tell in time.
        """
        if self.trace.cut_off:
            return None
        found = extract(self.trace.prefix(len(self.trace.steps)))
        [verdict] = await self._desk.grader.grade(self._reference, [found])
        if verdict is None:
            raise TtsBenchError(f"grading its own answer {quoted(found)} timed out")
        return verdict

    async def ask(self, question: str) -> Candidate:
        """Draw one reply to a question that is not the problem; asked again, the next draw."""
        if question not in self._questions:
            desk, problem = self._desk, Problem(self.trace.problem.id, question)
            prompt = Prompt(chat=desk.prompt.chat, template_kwargs=desk.prompt.template_kwargs)
            dialogue = prompt.dialogue(problem, desk.tokenizer)
            length = len(dialogue.prompt_ids)
            if length >= desk.info.max_model_len:
                raise TtsBenchError(
                    f"the question has {length} tokens, and the model reads "
                    f"{desk.info.max_model_len}"
                )
            self._questions[question] = self._session(dialogue)
        [reply] = await self._questions[question].sample(1)
        return reply

    def opened_thinking(self, reply: Candidate) -> bool:
        """Whether the prompt of a reply has opened a thinking."""
        return self._desk.tokenizer.opens_thinking(reply.prompt_ids)

    @property
    def _reference(self) -> str:
        assert self.trace.reference is not None, "traces are read with references for this"
        return self.trace.reference

    def _after(self, steps: int) -> Dialogue:
        """The dialogue whose prompt ends with the first `steps` steps."""
        desk, prefix = self._desk, self.trace.prefix(steps)
        opened = desk.prompt.dialogue(self.trace.problem, desk.tokenizer)
        return replace(opened, prompt_ids=opened.prompt_ids + desk.tokenizer.encode(prefix))

    def _session(self, dialogue: Dialogue) -> Session:
        return Session(
            dialogue,
            engine=self._desk.engine,
            verifier=ConfidenceVerifier(),
            ledger=self._ledger,
            sampling=self._desk.sampling,
            seed=self._desk.seed,
            canonicalize=_as_written,
        )


def final_answer(text: str, finish_reason: FinishReason, thinking: bool = False) -> str | None:
    """The answer of a whole solution; of one that was cut off, only one in a box.

    `thinking` tells that the prompt has opened a thinking.
    """
    find = boxed if finish_reason == "length" else extract
    return find(text, thinking=thinking)


async def _as_written(found: Sequence[str]) -> list[str]:
    """Nobody votes here: canonical forms would be algebra for nothing."""
    return list(found)


def _outcome(drawn: Candidate, answer: str | None, verdict: bool | None) -> str:
    if answer is None:
        return CUT_OFF if drawn.finish_reason == "length" else WRONG
    return NOT_GRADED if verdict is None else RIGHT if verdict else WRONG
