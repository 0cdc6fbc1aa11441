from __future__ import annotations

import pytest

from tts_bench.cost.price import Price
from tts_bench.errors import StoreError
from tts_bench.report.points.content import build_report
from tts_bench.types import Measurement, Usage

BY_TOKEN = {"input": 2.0, "cached_input": 0.5, "output": 10.0}
MILLION = 1e6


def resolved(engine: dict | None = None, verifier: dict | None = None) -> dict:
    blocks = {"engine": ("scripted", engine), "verifier": ("toy", verifier)}
    return {
        key: {"name": name} | ({"price": price} if price is not None else {})
        for key, (name, price) in blocks.items()
    }


def timed(seconds: float, tokens: int) -> dict:
    return {"generated_tokens": tokens, "seconds": seconds, "requests_from_store": 0}


@pytest.fixture
def pooled(make):
    """A pool of four draws of 10 tokens from a prompt of 50, of which 90 were cached in all."""

    def pooled(read: Usage | None = None, **manifest):
        pool = make.pool(["1", "1", "2", None], score=(0.1, 0.2, 0.3, 0.4))
        cells = [make.cell("best_of_n", (1, 2, 4), "best")]
        usage = Usage(4, 40, 200, 50, 4e6, 2e6)
        used = read if read is not None else Usage()
        attempt = make.attempt(cells[0]["id"], "p0", pool, policy=usage, verifier=used)
        run = make.run(cells, [attempt], **manifest)
        run.measurements_path.unlink()
        run.open()
        run.append(attempt, Measurement(2.0, 90, 3e6, 30, 0.0))
        run.close()
        return run

    return pooled


def dollars(report) -> dict:
    return {point.n: point.dollars for point in report.points}


def test_a_pool_is_paid_by_the_expected_tokens_of_each_size(pooled):
    report = build_report(pooled(resolved=resolved(BY_TOKEN)))
    whole = (110 * 2 + 90 * 0.5 + 40 * 10) / MILLION
    one = (50 * 2 + 10 * 10) / MILLION  # the first draw finds nothing in the cache
    assert dollars(report) == pytest.approx(
        {1: one, 2: (70 * 2 + 30 * 0.5 + 20 * 10) / MILLION, 4: whole}
    )
    (curve,) = report.curves
    assert curve.points[-1].cost.dollars == pytest.approx(whole)
    assert (
        "dollars: policy input $2, cached input $0.5, output $10 a million tokens" in report.notes
    )


def test_without_a_price_there_are_no_dollars(pooled):
    report = build_report(pooled(resolved=resolved()))
    assert dollars(report) == {1: None, 2: None, 4: None}
    assert not any("dollars" in note for note in report.notes)


def test_a_verifier_is_paid_apart_and_together(pooled):
    used = Usage(4, 0, 240, 100, 8e6, 4e6)
    run = pooled(used, resolved=resolved({"input": 1, "output": 1}, {"input": 3}))
    point = build_report(run).points[-1]
    assert point.policy.dollars == pytest.approx(240 / MILLION)
    assert point.verifier.dollars == pytest.approx(720 / MILLION)
    assert point.dollars == pytest.approx(960 / MILLION)


def test_a_verifier_without_a_price_leaves_the_sum_unknown_and_says_so(pooled):
    report = build_report(pooled(Usage(4, 0, 240, 100, 8e6, 4e6), resolved=resolved(BY_TOKEN)))
    assert report.points[-1].policy.dollars is not None
    assert report.points[-1].dollars is None
    assert "no dollars of the verifier for 3 of 3 points: the verifier has no price" in report.notes


def test_a_verifier_that_asks_the_policys_model_costs_what_that_does(pooled):
    model = {"engine": "scripted", "model": "toy-1.5B"}
    run = pooled(
        Usage(1, 5, 10, 10, 1e6, 1e6),
        resolved=resolved({"input": 1, "output": 4}),
        verifier={"name": "judge", "model": model},
    )
    assert build_report(run).points[-1].verifier.dollars == pytest.approx(30 / MILLION)


def test_prices_given_for_the_report_replace_those_of_the_suite(pooled):
    run = pooled(resolved=resolved(BY_TOKEN))
    report = build_report(run, {"policy": Price(input=0, output=1)})
    assert dollars(report)[4] == pytest.approx(40 / MILLION)


def test_hours_are_paid_as_if_no_draw_came_from_the_store(pooled):
    price = {"gpu_hour": 3.6, "gpus": 2}
    run = pooled(resolved=resolved(price), throughput=timed(5.0, 10))
    whole = 3.6 * 2 * 5 / 3600 * 40 / 10
    found = dollars(build_report(run))
    assert found[4] == pytest.approx(whole)
    assert found[1] == pytest.approx(whole * (1e6 / 2e6))  # by its ideal FLOPs


def test_hours_of_all_sessions_count_and_those_that_generated_nothing_do_not(pooled):
    sessions = [{"throughput": timed(5.0, 30)}, {"throughput": timed(99.0, 0)}, {}]
    run = pooled(
        resolved=resolved({"gpu_hour": 3600}),
        throughput=timed(15.0, 10),
        earlier_sessions=sessions,
    )
    assert dollars(build_report(run))[4] == pytest.approx(20 * 40 / 40)


def test_a_verifier_on_the_policys_gpus_shares_the_hours_by_flops(pooled):
    used = Usage(4, 0, 240, 100, 9e6, 6e6)
    run = pooled(
        used,
        resolved=resolved({"gpu_hour": 3600}, {"gpu_hour": "shared"}),
        throughput=timed(8.0, 40),
    )
    point = build_report(run).points[-1]
    assert (point.policy.dollars, point.verifier.dollars) == pytest.approx((2.0, 6.0))


def test_a_run_that_measured_no_time_has_no_dollars_by_the_hour(pooled):
    report = build_report(pooled(resolved=resolved({"gpu_hour": 2})))
    assert dollars(report)[4] is None
    assert any("no session of this run measured" in note for note in report.notes)


def test_a_senseless_price_in_a_manifest_is_one_line(pooled):
    with pytest.raises(StoreError, match="price"):
        build_report(pooled(resolved=resolved({"input": "cheap"})))


def test_a_verifier_of_which_a_recording_tells_nothing_is_not_free(pooled):
    unknown = Usage(0, 0, None, None, None, None)
    point = build_report(pooled(unknown, resolved=resolved(BY_TOKEN))).points[-1]
    assert point.policy.dollars is not None
    assert (point.verifier.dollars, point.dollars) == (None, None)


def test_a_recording_without_prompts_is_priced_by_what_was_written(pooled, make):
    pool = make.pool(["1", "2"])
    cells = [make.cell("self_consistency", (1, 2), "majority")]
    written = Usage(2, 20, None, None, None, None)
    run = make.run(cells, [make.attempt(cells[0]["id"], "p0", pool, policy=written)])
    assert dollars(build_report(run, {"policy": Price(input=1, output=10)})) == {1: None, 2: None}
    priced = build_report(run, {"policy": Price(input=0, output=10)})
    assert dollars(priced) == pytest.approx({1: 100 / MILLION, 2: 200 / MILLION})
