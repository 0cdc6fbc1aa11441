"""Lines that were damaged, or do not belong where they stand, do not count and are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import a_manifest

from tts_bench.errors import StoreError
from tts_bench.store.lines import (
    BadLine,
    Fault,
    Measured,
    attempt_line,
    measured_line,
    read_attempt,
    read_measured,
)
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt, Measurement, Pool, SearchTree

SUITE = "7f3a90c1d2"


def attempt(problem: str = "p", **changes) -> Attempt:
    pool = Pool(
        ("7", None), (0, -1), (True, False), tokens=(4, 9), finish_reason=("stop", "length")
    )
    whole = Attempt("c", problem, 0, "ok", "7", True, 0, 12, pool)
    return replace(whole, **changes)


@pytest.fixture
def run(tmp_path: Path):
    """A run of two attempts, closed."""
    run = RunStore(tmp_path / "r")
    run.open(SUITE)
    for name in "pq":
        run.append(attempt(name), Measurement(1.5))
    run.close()
    problems = [{"id": name} for name in "pq"]
    cell = {"id": "c", "strategy": "c", "params": {}, "sampling": {}, "pooled": False}
    run.write_manifest(
        a_manifest(suite_hash=SUITE, cells=[cell], problems=problems, seeds=[0], status="complete")
    )
    return run


def old(problem: str = "p", **changes) -> dict:
    return {**json.loads(attempt_line(attempt(problem))), **changes}


def without(row: dict, part: str, key: str) -> dict:
    return {**row, part: {name: value for name, value in row[part].items() if name != key}}


def test_a_line_comes_back():
    tree = SearchTree((None,), (1,), ("So",), (0.5,))
    for one in (attempt(), attempt(tree=tree, facts={"rounds": 2.0})):
        assert read_attempt(attempt_line(one)) == one
    assert read_attempt(json.dumps(old()).encode()) == attempt()


def test_every_flipped_byte_of_a_line_is_seen(run: RunStore):
    whole = run.attempts_path.read_bytes()
    for place in range(whole.index(b"\n") + 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        run.attempts_path.write_bytes(flipped)
        faults: list[Fault] = []
        assert [one for one in run.attempts(faults) if one != attempt("q")] == []
        assert faults


def test_a_measurement_comes_back_with_and_without_a_checksum():
    row = Measured("c", "p", 0, Measurement(2.0), "0123abcd")
    line = measured_line(row)
    assert read_measured(line) == row
    for place in range(len(line)):
        flipped = bytearray(line)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(BadLine):
            read_measured(bytes(flipped))
    written = json.loads(line)
    del written["line"], written["crc"]
    assert read_measured(json.dumps(written).encode()) == replace(row, line="")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"", "blank"),
        (b"  \t", "blank"),
        (b"{", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b'{"a":' * 100_000, "Invalid JSON"),
        (b"null", "Input should be"),
        (b"\xff\xfe", "Invalid JSON"),
        (json.dumps(old(seed="x")).encode(), "seed"),
        (json.dumps(old(status="fine")).encode(), "status"),
        (json.dumps(old(pool=3)).encode(), "pool"),
        (json.dumps(old(note="mine")).encode(), "unknown key note"),
        (json.dumps(without(old(), "pool", "answer_class")).encode(), "no key pool.answer_class"),
        (json.dumps(without(old(), "policy", "requests")).encode(), "no key policy.requests"),
        (json.dumps({"cell": "c", "problem": "p", "seed": 0, "status": "ok"}).encode(), "no key"),
        (json.dumps(old(chosen=2)).encode(), "chosen: 2 is no index of 2"),
        (json.dumps(old(chosen=-1)).encode(), "chosen"),
        (json.dumps(old(pool={**old()["pool"], "tokens": [1]})).encode(), "pool.tokens: 1 entries"),
    ],
)
def test_a_ragged_line_is_named(line: bytes, what: str):
    with pytest.raises(BadLine, match=what):
        read_attempt(line)


@pytest.mark.parametrize(
    "row", [{}, {"cell": "c"}, {"cell": "c", "problem": "p", "seed": 0, "measurement": {}}]
)
def test_a_ragged_measurement_is_named(row: dict):
    with pytest.raises(BadLine):
        read_measured(json.dumps(row).encode())


def blank(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b"\n", lines[1]]


def twice(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[0]]


def of_another_run(lines: list[bytes]) -> list[bytes]:
    return [*lines, attempt_line(attempt("p", answer="8")) + b"\n"]


def of_another_run_before(lines: list[bytes]) -> list[bytes]:
    return [attempt_line(attempt("p", answer="8")) + b"\n", *lines]


def of_another_cell(lines: list[bytes]) -> list[bytes]:
    return [attempt_line(attempt(cell="d")) + b"\n", *lines]


def of_another_problem(lines: list[bytes]) -> list[bytes]:
    return [attempt_line(attempt("z")) + b"\n", *lines]


@pytest.mark.parametrize(
    ("change", "number", "kind"),
    [
        (blank, 2, "damaged"),
        (twice, 3, "duplicate"),
        (of_another_run, 3, "damaged"),
        (of_another_run_before, 1, "damaged"),
        (of_another_cell, 1, "unlisted"),
        (of_another_problem, 1, "unlisted"),
    ],
)
def test_a_line_that_does_not_count_is_left_out_and_then_taken_out(
    run: RunStore, change: Callable[[list[bytes]], list[bytes]], number: int, kind: str
):
    whole = run.attempts_path.read_bytes()
    run.attempts_path.write_bytes(b"".join(change(whole.splitlines(keepends=True))))
    assert [(one.problem, one.answer) for one in run.attempts()] == [("p", "7"), ("q", "7")]
    assert [(fault.number, fault.kind) for fault in run.faults()] == [(number, kind)]
    run.open(SUITE)
    assert len(run.heal()) == 1
    assert run.attempts_path.read_bytes() == whole
    assert len((run.folder / "attempts.damaged.jsonl").read_bytes().splitlines()) == 1
    assert run.faults() == run.heal() == []
    run.append(attempt("r"), Measurement())  # the files go on
    assert run.attempts_path.read_bytes().startswith(whole)
    run.close()


def test_bad_lines_of_measurements_are_left_out_and_named(run: RunStore):
    lines = run.measurements_path.read_bytes().splitlines(keepends=True)
    run.measurements_path.write_bytes(b"\n" + lines[0] + lines[1].replace(b"1.5", b"1.6") + b"x\n")
    assert run.measurements() == {("c", "p", 0): Measurement(1.5)}
    assert [(fault.path.name, fault.number) for fault in run.faults()] == [
        ("measurements.jsonl", number) for number in (1, 3, 4)
    ]


def test_attempts_that_are_to_be_made_again_are_taken_out(run: RunStore):
    run.open(SUITE)
    assert run.heal([("c", "p", 0)]) == []
    run.close()
    assert [one.problem for one in run.attempts()] == ["q"]


def test_a_full_disk_loses_no_line(run: RunStore, monkeypatch):
    whole = run.attempts_path.read_bytes()
    run.attempts_path.write_bytes(whole + b"x\n")
    run.open(SUITE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tts_bench.store.files.os.replace", full)
    with pytest.raises(StoreError, match="No space left"):
        run.heal()
    run.close()
    assert run.attempts_path.read_bytes() == whole + b"x\n"


def test_without_checksums_the_first_line_of_an_attempt_counts(run: RunStore):
    run.measurements_path.unlink()
    lines = run.attempts_path.read_bytes()
    run.attempts_path.write_bytes(lines + attempt_line(attempt("p", answer="8")) + b"\n")
    assert [one.answer for one in run.attempts()] == ["7", "7"]
    assert [fault.kind for fault in run.faults()] == ["duplicate"]
