"""The grader: verdicts, caches, and workers that are killed, die, or lose their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from grading_work import work
from parts import NOT_TO_BE_HAD

from tts_bench.answers import grader as grader_module
from tts_bench.answers.grader import Grader, GradingLimits, Question, Reply, _Worker

TOWER = "9^{9^{9^{9}}}"
"""Keeps sympy busy in one long multiplication, out of reach of any Python signal handler."""


def _pids(grader: Grader) -> list[int]:
    workers = (*grader._idle, *grader._busy)
    return [worker._process.pid for worker in workers if worker._process and worker._process.pid]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def _wait_for_another_pipe(worker: _Worker, pipe: object) -> None:
    while worker._pipe in (None, pipe):
        time.sleep(0.05)


def _wait_until_gone(pids: Sequence[int], seconds: float = 30.0) -> list[int]:
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if _alive(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def test_grades_plain_answers_without_a_worker() -> None:
    async def main() -> None:
        async with Grader(workers=1) as grader:
            verdicts = await grader.grade("073", ["73", None, "74", "73.0", r"\text{Evelyn}"])
            assert verdicts == [True, False, False, True, False]
            assert await grader.canonical(["1,234", ".5", "Evelyn"]) == ["1234", "1/2", "evelyn"]
            assert _pids(grader) == []

    asyncio.run(main())


def test_grades_formulas_in_workers_and_leaves_no_process() -> None:
    async def main() -> list[int]:
        async with Grader(workers=2, limits=GradingLimits(60)) as grader:
            answers = [r"2\sqrt{2}", None, r"\sqrt 8", r"\sqrt 7", "x"]
            assert await grader.grade(r"\sqrt{8}", answers) == [True, False, True, False, False]
            forms = await grader.canonical(["2x+3", "3+2x", "2x-3"])
            assert forms[0] == forms[1] != forms[2]
            pids = _pids(grader)
            assert len(pids) == 2
            return pids

    assert _wait_until_gone(asyncio.run(main())) == []


def test_only_the_stuck_item_of_a_batch_times_out() -> None:
    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(1)) as grader:
            answers = [r"\sqrt 4", TOWER, r"\sqrt{16}", r"\frac{\sqrt 4}{1}"]
            assert await grader.grade("2", answers) == [True, None, False, True]
            assert await grader.canonical([TOWER, r"\sqrt{9}"]) == [TOWER, "3"]

    asyncio.run(main())


def _grade(limits: GradingLimits, answers: list[str | None]) -> list[bool | None]:
    async def main() -> list[bool | None]:
        async with Grader(workers=1, limits=limits, work=work) as grader:
            return await grader.grade("x+1", answers)

    return asyncio.run(main())


def test_a_worker_that_waits_for_a_processor_is_not_at_fault() -> None:
    assert _grade(GradingLimits(0.5), ["sleep 1.5", "1+x"]) == [True, True]


def test_a_worker_that_computes_for_ever_times_out() -> None:
    assert _grade(GradingLimits(0.5), ["spin", "1+x"]) == [None, True]


def test_a_worker_that_hangs_without_computing_times_out() -> None:
    assert _grade(GradingLimits(0.2, wall_factor=5), ["sleep 600", "x"]) == [None, False]


@pytest.mark.parametrize("what", ["spin", "die"])
def test_an_answer_is_tried_again_in_a_fresh_worker(what: str, tmp_path: Path) -> None:
    assert _grade(GradingLimits(0.5), [f"once {what} {tmp_path / 'marker'}", "1+x"]) == [True, True]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason=f"{NOT_TO_BE_HAD}/proc")
def test_memory_has_a_limit_and_only_that_answer_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    assert _grade(GradingLimits(60, memory=1 << 29), ["fill", "1+x"]) == [None, True]
    assert capfd.readouterr().err == ""


def test_an_idle_worker_that_was_killed_is_replaced() -> None:
    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            assert await grader.canonical([r"\sqrt{4}"]) == ["2"]
            [pid] = _pids(grader)
            os.kill(pid, signal.SIGKILL)
            assert await grader.canonical([r"\sqrt{9}"]) == ["3"]
            assert _pids(grader) != [pid]

    asyncio.run(main())


def test_an_item_that_brings_down_two_workers_counts_as_timed_out() -> None:
    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            await grader.canonical([r"\sqrt{4}"])
            asked = asyncio.create_task(grader.grade("5", [TOWER, r"\sqrt{25}"]))
            await asyncio.sleep(0.3)
            [worker] = grader._busy
            for _ in range(2):
                pipe = worker._pipe
                os.kill(_pids(grader)[0], signal.SIGKILL)
                await asyncio.to_thread(_wait_for_another_pipe, worker, pipe)
            assert await asked == [None, True]

    asyncio.run(main())


def test_a_question_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []

    def answer(worker: _Worker, questions: Sequence[Question]) -> list[Reply]:
        asked.extend(questions)
        time.sleep(0.1)
        return [True for _ in questions]

    monkeypatch.setattr(grader_module._Worker, "answer", answer)

    async def main() -> None:
        async with Grader(workers=2) as grader:
            await asyncio.gather(*(grader.grade("x+1", ["1+x", "1+x"]) for _ in range(5)))
            await grader.grade("x+1", ["1+x"])

    asyncio.run(main())
    assert asked == [Question("x+1", "1+x")]


def test_a_cancelled_caller_leaves_the_others_their_answer() -> None:
    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            first = asyncio.create_task(grader.grade("x+1", ["1+x"]))
            second = asyncio.create_task(grader.grade("x+1", ["1+x"]))
            await asyncio.sleep(0.05)
            first.cancel()
            assert await second == [True]

    asyncio.run(main())


def test_closing_cancels_open_questions_and_kills_busy_workers() -> None:
    async def main() -> list[int]:
        grader = Grader(workers=1, limits=GradingLimits(600))
        await grader.canonical([r"\sqrt{4}"])
        pids = _pids(grader)
        asked = asyncio.create_task(grader.grade("5", [TOWER]))
        await asyncio.sleep(0.3)
        await grader.close()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return pids

    assert _wait_until_gone(asyncio.run(main())) == []


def test_works_from_an_event_loop_in_another_thread() -> None:
    found: list[list[bool | None]] = []

    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            found.append(await grader.grade(r"\sqrt{8}", [r"2\sqrt{2}", r"3\sqrt{2}"]))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert found == [[True, False]]


def test_constructing_starts_nothing() -> None:
    before = threading.active_count()
    grader = Grader()
    assert threading.active_count() == before
    assert _pids(grader) == []


ORPHANING = f"""
import asyncio
from tts_bench.answers.grader import Grader, GradingLimits

async def main():
    async with Grader(workers=2, limits=GradingLimits(1)) as grader:
        await grader.canonical(["x+1", "x+2"])
        stuck = asyncio.create_task(grader.grade("5", [{TOWER!r}]))
        await asyncio.sleep(0.3)
        workers = (*grader._idle, *grader._busy)
        print(*(worker._process.pid for worker in workers), flush=True)
        await stuck
        await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphaning.py"
    script.write_text(ORPHANING)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        run.kill()
    assert len(pids) == 2
    assert _wait_until_gone(pids) == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason=f"{NOT_TO_BE_HAD}/proc")
def test_workers_load_no_torch_and_ignore_ctrl_c() -> None:
    async def main() -> None:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            await grader.canonical(["x+1"])
            [pid] = _pids(grader)
            assert "libtorch" not in _maps(pid)
            os.kill(pid, signal.SIGINT)
            await grader.canonical(["x+2"])
            assert _pids(grader) == [pid]

    asyncio.run(main())
