"""Grading in worker processes that are killed when they hang.

Formulas from a model can keep sympy busy for ever, and no handler inside the process can stop
it: signals wait for the interpreter, which waits for one long multiplication. So every formula
is evaluated in a worker process, which the kernel ends once it has computed for too long. What
is counted is its processor time: a busy machine changes no verdict. Plain numbers and words
never leave this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Protocol

from tts_bench.answers import formulas
from tts_bench.answers.equality import canonical, equal
from tts_bench.answers.kinds import MATH, AnswerKind
from tts_bench.answers.notation import plain
from tts_bench.concurrency.memo import Memo
from tts_bench.errors import TtsBenchError, UsageError

_BATCH = 32
"""Questions sent to a worker at once; few enough to spread over the workers."""
_START_SECONDS = 300.0
"""How long a worker may take to import sympy on a busy machine."""
_LIVES = 2
"""Workers that may end at one question (time, memory, a crash) before it is not graded."""
_REMEMBERED = 100_000
"""Replies that `forget` keeps."""
_OUT_OF_MEMORY = 3
"""Exit code of a worker that could not get the memory it asked for."""


class GradingLimits(NamedTuple):
    """What one answer may cost a worker before that worker is ended."""

    cpu_seconds: float = 10.0
    wall_factor: float = 30.0
    """How often `cpu_seconds` may pass on the clock: a worker may wait for a processor, or hang."""
    memory: int = 4 << 30
    """Bytes of address space beyond what a worker holds when it is ready."""

    @property
    def wall_seconds(self) -> float:
        """Seconds on the clock that one answer may take."""
        return self.cpu_seconds * self.wall_factor


class Question(NamedTuple):
    """A question to a worker: equality, or the canonical form if `reference` is None."""

    reference: str | None
    answer: str
    problem: str = ""
    """The problem's text, for kinds of answers that need it."""


class KindFault(NamedTuple):
    """A reply that is none: what a user's own kind of answers did wrong."""

    why: str


Reply = bool | str | KindFault | None
"""None: the question was beyond the limits."""


class Grading(Protocol):
    """What others need of a grader: a verdict for each answer, None if it was not graded."""

    async def grade(
        self, reference: str, answers: list[str | None], problem: str = ""
    ) -> list[bool | None]: ...


class Grader:
    """Compares answers with references and gives canonical forms, whatever the input.

    Used as an async context manager, within one event loop at a time. Workers start at the
    first question that needs algebra. An answer at which a worker passes its limits, or dies, is
    tried once more in a fresh one before it is given up. What was asked before is remembered, and
    what is being asked is asked once. `kind` says what answers are, `work` what a worker does with
    a question: by default what the kind does, which must be importable in another process then.
    """

    def __init__(
        self,
        workers: int = min(4, os.cpu_count() or 1),
        limits: GradingLimits = GradingLimits(),  # noqa: B008 - it is immutable
        work: Callable[[Question], Reply] | None = None,
        kind: AnswerKind = MATH,
    ) -> None:
        self.workers = workers
        self.limits = limits
        self.kind = kind
        by_default: Callable[[Question], Reply] = reply_to if kind == MATH else KindWork(kind)
        self._work = work or by_default
        self._known: dict[Question, Reply] = {}
        self._memo: Memo[Question, None, Reply] = Memo(self._look_up, self._ask)
        self._queue: deque[tuple[Question, asyncio.Future[Reply]]] = deque()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._lanes: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Grader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def grade(
        self, reference: str, answers: Sequence[str | None], problem: str = ""
    ) -> list[bool | None]:
        """Whether each answer equals the reference; None where it was not decided in the limits.

        No answer (None) is wrong. `problem` is its text, for kinds that need it. Raises
        TtsBenchError where workers cannot be started, and UsageError where a user's kind fails.
        """
        text = "" if self.kind == MATH else problem
        questions = [None if one is None else Question(reference, one, text) for one in answers]
        replies = await self._replies(filter(None, questions))
        return [False if one is None else _verdict(replies[one]) for one in questions]

    async def canonical(self, answers: Sequence[str]) -> list[str]:
        """The form under which each answer votes; its text, normalised, beyond the limits.

        Raises UsageError where a user's kind fails.
        """
        questions = [Question(None, answer) for answer in answers]
        replies = await self._replies(questions)
        forms = [_checked(replies[question]) for question in questions]
        return [
            form if isinstance(form, str) else plain(answer)
            for form, answer in zip(forms, answers, strict=True)
        ]

    def forget(self) -> None:
        """Forget what was asked, if that is much; nothing may be asked meanwhile."""
        if len(self._known) > _REMEMBERED:
            self._known.clear()
            self._memo = Memo(self._look_up, self._ask)

    async def close(self) -> None:
        """Kill the workers; questions still open are cancelled. It can be used again after."""
        self._queue.clear()
        for worker in (*self._idle, *self._busy):
            worker.close()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        await self._memo.close()
        self._idle.clear()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    async def _replies(self, questions: Iterable[Question]) -> dict[Question, Reply]:
        """What is to be said to each question, asked before or now."""
        return await self._memo.get(dict.fromkeys(questions))

    async def _look_up(self, questions: Sequence[Question]) -> dict[Question, Reply]:
        for question in questions:
            if question not in self._known and (quick := self.kind.quick(*question)) is not None:
                self._known[question] = quick
        return {one: self._known[one] for one in questions if one in self._known}

    async def _ask(self, asked: Mapping[Question, None]) -> dict[Question, Reply]:
        [question] = asked
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue.append((question, reply))
        self._open_lane()
        self._known[question] = await reply
        return {question: self._known[question]}

    def _open_lane(self) -> None:
        """Put one more worker to work, where there is one left."""
        if len(self._busy) >= self.workers:
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="tts-bench-grader")
        worker = self._idle.pop() if self._idle else _Worker(self.limits, self._work)
        self._busy.add(worker)
        lane = asyncio.create_task(self._drain(worker))
        self._lanes.add(lane)
        lane.add_done_callback(self._lanes.discard)

    async def _drain(self, worker: _Worker) -> None:
        """Let one worker answer until the queue is empty."""
        loop = asyncio.get_running_loop()
        while self._queue and not worker.closed:
            share = -(-len(self._queue) // self.workers)
            batch = [self._queue.popleft() for _ in range(min(_BATCH, share))]
            try:
                questions = [question for question, _ in batch]
                replies = await loop.run_in_executor(self._threads, worker.answer, questions)
            except Exception as error:  # whatever it is, those who wait must hear of it
                for _, waiting in batch:
                    if not waiting.done():
                        waiting.set_exception(error)
                continue
            for (_, waiting), reply in zip(batch, replies, strict=False):
                if not waiting.done():
                    waiting.set_result(reply)
        # Without an await since the queue was found empty: the next question opens a lane.
        self._busy.discard(worker)
        if not worker.closed:
            self._idle.append(worker)


def _verdict(reply: Reply) -> bool | None:
    found = _checked(reply)
    return found if isinstance(found, bool) else None


def _checked(reply: Reply) -> bool | str | None:
    """The reply. Raises UsageError for one that is none."""
    if isinstance(reply, KindFault):
        raise UsageError(reply.why)
    return reply


@dataclass(frozen=True)
class KindWork:
    """What a worker does for a kind of answers."""

    kind: AnswerKind

    def __call__(self, question: Question) -> Reply:
        """The kind's reply, or what it did wrong."""
        try:
            return self.kind.ask(*question)
        except UsageError as error:
            return KindFault(str(error))


class _Worker:
    """One process, driven by one thread at a time; it is replaced when it dies."""

    def __init__(self, limits: GradingLimits, work: Callable[[Question], Reply]) -> None:
        self.closed = False
        self._limits = limits
        self._work = work
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def answer(self, questions: Sequence[Question]) -> list[Reply]:
        """Reply to each question in order; blocks. Fewer replies mean that it was closed."""
        replies: list[Reply] = []
        ends = 0
        while len(replies) < len(questions) and not self.closed:
            before = len(replies)
            self._ask(questions[before:], replies)
            ends = ends + 1 if len(replies) == before else 1
            if len(replies) < len(questions) and ends == _LIVES:
                replies.append(None)
                ends = 0
        if self.closed:
            self._kill()
        return replies

    def close(self) -> None:
        """Kill the process, from any thread; a blocked `answer` returns."""
        self.closed = True
        self._kill()

    def _ask(self, questions: Sequence[Question], replies: list[Reply]) -> None:
        """Append replies until all are there or the process has ended."""
        pipe = self._started()
        if self.closed:
            return
        try:
            pipe.send(list(questions))
            for _ in questions:
                if not pipe.poll(self._limits.wall_seconds):
                    self._kill()
                    return
                replies.append(pipe.recv())
        except (EOFError, OSError):
            self._kill()

    def _started(self) -> Connection:
        """A pipe to a process that is ready; one that is killed while it starts is replaced."""
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        for _ in range(_LIVES):
            self._pipe, pipe = None, self._start()
            with contextlib.suppress(EOFError, OSError):
                if pipe.poll(_START_SECONDS):
                    pipe.recv()
                    self._pipe = pipe
                    return pipe
            self._kill()
        raise TtsBenchError(
            "a grading worker did not start; a script that starts one needs an "
            '`if __name__ == "__main__":` around what it runs'
        )

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._limits, self._work)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        return ours

    def _kill(self) -> None:
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()


def reply_to(question: Question) -> Reply:
    """What a worker says to a question; the only work that has no bounds of its own."""
    if question.reference is None:
        return canonical(question.answer)
    return equal(question.reference, question.answer)


def _serve(pipe: Connection, limits: GradingLimits, work: Callable[[Question], Reply]) -> None:
    """Main of a worker: batches of questions in, one reply for each out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    formulas.warm_up()
    _limit_memory(limits.memory)
    with contextlib.suppress(EOFError, OSError):
        pipe.send(True)
        while True:
            for question in pipe.recv():
                _limit_time(limits.cpu_seconds, 2 * limits.wall_seconds + 1)
                try:
                    reply = work(question)
                except MemoryError:
                    os._exit(_OUT_OF_MEMORY)
                pipe.send(reply)
            _limit_time(0, 0)


def _limit_time(cpu_seconds: float, wall_seconds: float) -> None:
    """Let the kernel end this process then (0: never); systems without timers go without.

    The parent watches the clock too; should it be gone, this one is left.
    """
    if hasattr(signal, "setitimer"):
        for number, timer, seconds in (
            (signal.SIGPROF, signal.ITIMER_PROF, cpu_seconds),
            (signal.SIGALRM, signal.ITIMER_REAL, wall_seconds),
        ):
            signal.signal(number, signal.SIG_DFL)
            signal.setitimer(timer, seconds)


def _limit_memory(more: int) -> None:
    """Let this process grow by so many bytes; systems that do not tell its size go without."""
    size = Path("/proc/self/statm")
    if size.exists():
        import resource

        pages = int(size.read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
