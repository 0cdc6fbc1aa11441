"""What the dry run says that a run is likely to take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_bench.cost.flops import parameters
from tts_bench.cost.price import Price
from tts_bench.cost.published import SHAPES
from tts_bench.run.estimate import GPUS, PROMPT, SHARES, Expected, expect
from tts_bench.run.forecast import forecast
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import Registry

SUITE = """
dataset: {name: arithmetic, problems: 10}
engine: {name: transformers, model: tts_bench/tiny/policy}
sampling: {max_tokens: 100}
strategies:
"""


def plan(tmp_path: Path, strategies: str):
    path = tmp_path / "s.yaml"
    path.write_text(SUITE + strategies)
    return make_plan(load_suite(path, Registry()), RunOptions(tmp_path / "results"))


def solutions(tmp_path: Path, strategies: str) -> tuple[float, float]:
    """Expected solutions of one problem."""
    found = expect(plan(tmp_path, strategies), iter(()))
    assert found is not None
    low, high = (
        tokens / (share * 100 * 10) for tokens, share in zip(found.tokens, SHARES, strict=True)
    )
    return round(low, 6), round(high, 6)


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        ("  - greedy", (1, 1)),
        ("  - {strategy: best_of_n, n: [1, 4, 16]}", (16, 16)),
        # One pool for both.
        ("  - {strategy: best_of_n, n: 16}\n  - {strategy: self_consistency, n: 4}", (16, 16)),
        ("  - {strategy: beam_search, n: [4, 16]}", (20, 20)),
        ("  - {strategy: beam_search, n: 4, lookahead: 2}", (12, 12)),
        ("  - {strategy: mcts, n: 4, children: 3}", (4, 12)),
        ("  - {strategy: adaptive_consistency, max_n: 32}", (1, 32)),
    ],
)
def test_solutions_of_each_kind_of_strategy(tmp_path, strategies, expected):
    assert solutions(tmp_path, strategies) == expected


def test_lengths_are_those_of_the_last_run(tmp_path, runs_of_length):
    found = expect(plan(tmp_path, "  - greedy"), iter(runs_of_length(40, 60)))
    assert found is not None
    assert found.measured
    assert found.lengths == (50, 50)
    assert found.tokens == (500, 500)


def test_seconds_are_flops_over_the_share_of_the_peak(tmp_path):
    policy, verifier = SHAPES["Qwen/Qwen2.5-0.5B-Instruct"], SHAPES["Qwen/Qwen2.5-Math-PRM-7B"]
    expected = Expected((1000.0, 2000.0), (100.0, 100.0), measured=True)
    low, high = expected.seconds("H100", policy, verifier)
    written = 10 * policy.decode(PROMPT, 100) / (0.25 * GPUS["H100"])
    read = 10 * verifier.scoring(PROMPT + 100) / (0.5 * GPUS["H100"])
    assert low == pytest.approx(written + read)
    assert high == pytest.approx(2 * low)
    alone, _ = expected.seconds("H100", policy, None)
    assert alone == pytest.approx(written)


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400),
        ("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", 8_030_261_248),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
    ],
)
def test_published_shapes_add_up_to_the_published_sizes(model, weights):
    assert parameters(SHAPES[model]).total == pytest.approx(weights, rel=1e-3)


def test_every_model_of_a_shipped_suite_has_a_shape():
    import yaml

    from tts_bench.suite.load import shipped_suites

    for path in shipped_suites().values():
        suite = yaml.safe_load(path.read_text("utf-8"))
        verifier = suite["verifier"] if isinstance(suite["verifier"], dict) else {}
        for model in (suite["engine"]["model"], verifier.get("model")):
            local = model is None or model.startswith(("./", "tts_bench/"))
            assert local or model in SHAPES, (path, model)


def test_the_dry_run_says_memory_tokens_and_hours_before_a_download(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        SUITE.replace("tts_bench/tiny/policy", "Qwen/Qwen2.5-Math-1.5B-Instruct")
        + "  - {strategy: self_consistency, n: 64}\n"
    )
    said = forecast(make_plan(load_suite(path, Registry()), RunOptions(tmp_path / "results")))
    assert "policy 2.88 GiB (not here yet; by its published shape)" in said
    assert "expected  0.01 to 0.03 M tokens (solutions of 15 to 50 tokens: 15 to 50 %" in said
    assert "h on one H100" in said
    assert "an estimate" in said


@pytest.fixture
def runs_of_length():
    """Makes a run whose candidates have these lengths, as far as an estimate reads one."""
    from types import SimpleNamespace

    def make(*tokens: int):
        return [
            SimpleNamespace(attempts=lambda: [SimpleNamespace(pool=SimpleNamespace(tokens=tokens))])
        ]

    return make


def test_what_a_service_would_bill_is_said(tmp_path: Path):
    priced = "verifier: {name: prm, model: tts_bench/tiny/prm, price: {input: 1}}\n"
    by_token = SUITE.replace("tiny/policy}", "tiny/policy, price: {input: 2, output: 10}}")
    path = tmp_path / "s.yaml"
    path.write_text(f"{by_token}  - {{strategy: best_of_n, n: [1, 4]}}\n{priced}")
    text = forecast(make_plan(load_suite(path, Registry()), RunOptions(tmp_path / "results")))
    lines = [line[10:] for line in text.splitlines() if "$" in line]
    # 40 solutions of 15 to 50 tokens after a prompt of 200.
    assert lines == [
        "$0.0220 to $0.0360 for the policy",
        "$0.00860 to $0.0100 for the verifier, which reads each solution once",
    ]


def test_hours_have_a_price_once_a_run_has_measured_them(tmp_path: Path):
    hourly = Price(gpu_hour=3.6, gpus=2)
    expected = Expected((1000.0, 2000.0), (100.0, 100.0), measured=True)
    assert expected.dollars(hourly, None, reading=False) is None
    assert expected.dollars(hourly, 10.0, reading=False) == pytest.approx((0.2, 0.4))
    assert expected.dollars(Price(input=1), 10.0, reading=False) is None


def test_without_a_price_the_dry_run_names_no_dollars(tmp_path: Path):
    assert "$" not in forecast(plan(tmp_path, "  - greedy"))
