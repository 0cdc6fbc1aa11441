"""A spool gives the attempts of a run again, by problem or one by one, from a temporary file."""

from __future__ import annotations

from tts_bench.report.points.scope import read_scope
from tts_bench.report.spool import spool_attempts


def test_attempts_come_back_by_problem_and_one_by_one(make):
    run = make.realistic(problems=6, sweep=(1, 4))
    seen = []
    with spool_attempts(run, read_scope(run), seen.append) as spool:
        assert seen == list(run.attempts())
        for attempt in seen:
            assert spool.at(*(attempt.problem, attempt.cell, attempt.seed)) == attempt
            at_problem = [one for one in seen if one.problem == attempt.problem]
            assert sorted(spool.of(attempt.problem), key=str) == sorted(at_problem, key=str)
        assert spool.at("absent", seen[0].cell, 0) is None
        assert list(spool.of("absent")) == []
