"""Waiting, failing and closing: what the thread of a reward model does beside reading."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from reward_models import candidate, make

from tts_bench.errors import VerifierError
from tts_bench.types import Problem
from tts_bench.verifier.prm import ProcessRewardModel
from tts_bench.verifier.reader import Reader

PROBLEM = Problem("p", "Add 1 and 2.")
TEXTS = [f"{number} plus 1 equals {number + 1}.\n\nSo {number + 1}" for number in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("trl", tmp_path_factory.mktemp("backend") / "trl")


async def started(folder: Path, **settings: Any) -> ProcessRewardModel:
    verifier = ProcessRewardModel(str(folder), device="cpu", threads=1, **settings)
    await verifier.start(None)  # type: ignore[arg-type]
    return verifier


async def values(verifier: ProcessRewardModel) -> list[float]:
    candidates = [candidate(text, i) for i, text in enumerate(TEXTS)]
    return [scoring.score.value for scoring in await verifier.score(PROBLEM, candidates)]


def test_where_memory_runs_out_it_goes_on_with_smaller_batches(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []
    read = Reader.read

    def short_of_memory(self: Reader, texts: list[tuple[int, ...]]) -> Any:
        sizes.append(len(texts))
        if len(texts) > 3:
            raise MemoryError("no more")
        return read(self, texts)

    async def main() -> tuple[list[float], list[float]]:
        verifier = await started(folder)
        expected = await values(verifier)
        await verifier.close()
        verifier = await started(folder)
        monkeypatch.setattr(Reader, "read", short_of_memory)
        found = await values(verifier)
        await verifier.close()
        return expected, found

    expected, found = asyncio.run(main())
    assert found == pytest.approx(expected, abs=2e-6)
    assert sizes[-1] <= 3 < max(sizes)


def test_a_failed_pass_fails_its_readings_and_not_those_after_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> Any:
        raise RuntimeError("the device said no\nand more")

    async def main() -> list[float]:
        verifier = await started(folder)
        with monkeypatch.context() as patched:
            patched.setattr(Reader, "read", broken)
            with pytest.raises(VerifierError, match=r"pass failed: the device said no$"):
                await values(verifier)
        found = await values(verifier)
        await verifier.close()
        return found

    assert len(asyncio.run(main())) == len(TEXTS)


def test_closing_fails_what_is_in_flight_and_what_comes_after(folder: Path):
    async def main() -> None:
        verifier = await started(folder)
        task = asyncio.create_task(values(verifier))
        await asyncio.sleep(0)
        await verifier.close()
        results = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(results[0], list | VerifierError)
        with pytest.raises(VerifierError, match="not started"):
            await values(verifier)
        await verifier.close()  # a second time is nothing

    asyncio.run(main())


def test_closing_waits_for_the_batch_in_hand_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    read, sizes = Reader.read, list[int]()
    began, go_on = threading.Event(), threading.Event()

    def held(self: Reader, texts: list[tuple[int, ...]]) -> Any:
        sizes.append(len(texts))
        began.set()
        assert go_on.wait(60)
        return read(self, texts)

    async def main() -> None:
        verifier = await started(folder, batch_tokens=64)
        monkeypatch.setattr(Reader, "read", held)
        task = asyncio.create_task(values(verifier))
        await asyncio.to_thread(began.wait, 60)
        closing = asyncio.create_task(verifier.close())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        [found] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(found, VerifierError)

    asyncio.run(main())
    assert sum(sizes) < len(TEXTS)


def test_readings_that_nobody_waits_for_are_dropped(folder: Path):
    async def main() -> list[float]:
        verifier = await started(folder)
        tasks = [asyncio.create_task(values(verifier)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        found = await tasks[1]
        assert await tasks[2] == found
        await verifier.close()
        return found

    assert len(asyncio.run(main())) == len(TEXTS)


def test_a_verifier_starts_once_and_again_after_it_was_closed(folder: Path):
    async def main() -> None:
        verifier = await started(folder)
        with pytest.raises(VerifierError, match="started already"):
            await verifier.start(None)  # type: ignore[arg-type]
        first = await values(verifier)
        await verifier.close()
        await verifier.start(None)  # type: ignore[arg-type]
        assert await values(verifier) == first
        await verifier.close()

    asyncio.run(main())


def test_what_decides_the_scores_is_in_the_identity_and_what_does_not_is_not(folder: Path):
    async def identity(**settings: Any) -> str:
        verifier = ProcessRewardModel(str(folder), device="cpu", **settings)
        info = await verifier.start(None)  # type: ignore[arg-type]
        await verifier.close()
        return info.identity

    async def main() -> list[str]:
        kinds: list[dict[str, Any]] = [{}, {"threads": 1, "cache_tokens": 9}, {"aggregate": "min"}]
        return [await identity(**kind) for kind in kinds]

    plain, fast, other = asyncio.run(main())
    assert plain == fast != other
    assert "layout='pieces'" in plain
    assert "sha256:" in plain
