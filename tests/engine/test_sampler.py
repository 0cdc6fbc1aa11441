from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats

from tts_bench.engine.past import Past, Said
from tts_bench.engine.sampler import SamplingMetadata, draw, noise, truncate
from tts_bench.types import Sampling

CPU = torch.device("cpu")
LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def draws(logits: torch.Tensor, sampling: Sampling, count: int) -> tuple[list[int], list[float]]:
    """One draw for each of the seeds 0 .. count-1, all rows with the same logits."""
    exponentials = torch.empty(count, len(logits), dtype=torch.float64)
    for seed in range(count):
        noise(seed, CPU).fill(exponentials[seed])
    rows = logits.expand(count, -1)
    tokens, logprobs = draw(rows, SamplingMetadata([sampling] * count, CPU), exponentials)
    return tokens.tolist(), logprobs.tolist()


def expected(temperature: float, kept: Sequence[int]) -> np.ndarray:
    weights = np.zeros(len(LOGITS))
    weights[list(kept)] = np.exp(LOGITS.double().numpy()[list(kept)] / temperature)
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1), range(6)),
        (Sampling(1, temperature=0.5), range(6)),
        (Sampling(1, temperature=2.0), range(6)),
        (Sampling(1, top_k=2), range(2)),
        (Sampling(1, top_p=0.7), range(2)),  # shares 0.54, 0.20: the second one crosses 0.7
        (Sampling(1, top_p=0.54), range(1)),
        (Sampling(1, temperature=2.0, top_p=0.6), range(3)),
        (Sampling(1, top_k=3, top_p=0.85), range(2)),  # of the three left: 0.63, 0.23, 0.14
    ],
)
def test_draws_follow_temperature_top_k_and_top_p(sampling: Sampling, kept: range) -> None:
    count = 20_000
    tokens, logprobs = draws(LOGITS, sampling, count)
    share = expected(sampling.temperature, kept)
    seen = np.bincount(tokens, minlength=len(LOGITS))
    assert set(np.flatnonzero(seen)) == set(kept)
    if len(kept) > 1:
        chosen = list(kept)
        assert stats.chisquare(seen[chosen], share[chosen] * count).pvalue > 1e-3
    own = torch.log_softmax(LOGITS.double(), -1)
    assert logprobs == pytest.approx([float(own[token]) for token in tokens], abs=1e-6)


def test_temperature_zero_is_the_most_likely_token() -> None:
    tokens, _ = draws(LOGITS, Sampling(1, temperature=0, top_k=3), 5)
    assert tokens == [0] * 5


def test_rows_with_different_settings_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 50)
    samplings = [
        Sampling(1),
        Sampling(1, temperature=0),
        Sampling(1, temperature=0.3),
        Sampling(1, top_k=1),
        Sampling(1, top_k=5, top_p=0.5),
        Sampling(1, top_p=0.9),
        Sampling(1, temperature=3.0, top_k=10),
    ]
    exponentials = torch.empty(7, 50, dtype=torch.float64)
    for row in range(7):
        noise(row, CPU).fill(exponentials[row])
    together = draw(logits, SamplingMetadata(samplings, CPU), exponentials)[0].tolist()
    alone = [
        int(
            draw(logits[i : i + 1], SamplingMetadata([samplings[i]], CPU), exponentials[i : i + 1])[
                0
            ]
        )
        for i in range(7)
    ]
    assert together == alone
    assert together[3] == int(logits[3].argmax())


@pytest.mark.parametrize("top_p", [0.2, 0.9, 0.999, 1.0])
def test_a_short_sorted_head_changes_nothing(top_p: float) -> None:
    torch.manual_seed(1)
    logits = torch.randn(4, 500)
    logits -= logits.max(dim=-1, keepdim=True).values
    top_k, p = torch.tensor([0, 7, 300, 500]), torch.full((4,), top_p, dtype=torch.float64)
    short = truncate(logits, top_k, p, head=16)
    assert torch.equal(short, truncate(logits, top_k, p, head=500))
    for row in range(4):
        assert kept_by_hand(logits[row], int(top_k[row]), top_p) == set(
            torch.isfinite(short[row]).nonzero()[:, 0].tolist()
        )


def kept_by_hand(logits: torch.Tensor, top_k: int, top_p: float) -> set[int]:
    order = logits.argsort(descending=True).tolist()[: top_k or len(logits)]
    weights = [math.exp(float(logits[i])) for i in order]
    kept, mass = set(), 0.0
    for index, weight in zip(order, weights, strict=True):
        if mass >= top_p * sum(weights):
            break
        kept.add(index)
        mass += weight
    return kept


def test_equal_logits_stay_together() -> None:
    logits = torch.tensor([[0.0, -1.0, -1.0, -2.0]])
    kept = truncate(logits, torch.tensor([2]), torch.ones(1, dtype=torch.float64))
    assert torch.isfinite(kept)[0].tolist() == [True, True, True, False]


def test_noise_is_a_function_of_the_seed_alone() -> None:
    def numbers(seed: int) -> list[float]:
        out = torch.empty(10, dtype=torch.float64)
        noise(seed, CPU).fill(out)
        return out.tolist()

    assert numbers(2**63 + 5) == numbers(2**63 + 5)
    assert len({tuple(numbers(seed)) for seed in range(100)}) == 100


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1, min_p=0.3), range(2)),  # shares of the likeliest: 1, 0.37, 0.22
        (Sampling(1, temperature=2.0, min_p=0.3), range(4)),  # 1, 0.61, 0.47, 0.37, 0.22
        (Sampling(1, min_p=1.0), range(1)),
        (Sampling(1, min_p=0.2, top_p=0.8), range(2)),  # of the three left: 0.63, 0.23, 0.14
        (Sampling(1, min_p=0.1, top_k=3), range(3)),
    ],
)
def test_min_p_leaves_out_what_is_less_likely_than_its_share_of_the_likeliest(
    sampling: Sampling, kept: range
) -> None:
    tokens, _ = draws(LOGITS, sampling, 10_000)
    seen = np.bincount(tokens, minlength=len(LOGITS))
    assert set(np.flatnonzero(seen)) == set(kept)
    if len(kept) > 1:
        share = expected(sampling.temperature, kept)[list(kept)]
        assert stats.chisquare(seen[list(kept)], share * len(tokens)).pvalue > 1e-3


def changed(rows: Sequence[Said], more: Sequence[Sequence[int]] = ()) -> torch.Tensor:
    """Logits of these rows, after tokens were drawn for all of them."""
    past = Past.of(rows, len(LOGITS), CPU)
    assert past is not None
    for tokens in more:
        past.note(torch.tensor(tokens))
    return past.changed(LOGITS.expand(len(rows), -1))


def test_repetition_is_punished_in_prompt_and_output() -> None:
    row = Said(Sampling(1, repetition_penalty=2.0), (0, 4), (1,), ())
    found = changed([row], [[5]])[0]
    assert found.tolist() == [1.0, 0.5, 0.5, 0.0, -2.0, -6.0]


def test_presence_and_frequency_are_punished_in_the_output_alone() -> None:
    row = Said(Sampling(1, presence_penalty=0.25, frequency_penalty=0.5), (0, 0), (1, 2), ())
    found = changed([row], [[1], [4]])[0]
    assert found.tolist() == pytest.approx([2.0, -0.25, -0.25, 0.0, -1.75, -3.0])


def test_each_row_has_its_own_past_and_those_without_settings_are_as_they_were() -> None:
    plain = Said(Sampling(1), (0,), (0, 0), ())
    punished = Said(Sampling(1, frequency_penalty=1.0), (0,), (0, 0), ())
    found = changed([plain, punished, plain], [[1, 1, 1], [1, 2, 2]])
    assert found[1].tolist() == [0.0, 0.0, -0.5, 0.0, -1.0, -3.0]
    assert all(found[i].equal(LOGITS) for i in (0, 2))
    assert Past.of([plain, plain], len(LOGITS), CPU) is None


def test_a_bad_word_is_forbidden_where_its_beginning_was_written() -> None:
    words = ((3,), (0, 1), (1, 0, 2), (9, 9))
    rows = [Said(Sampling(1, bad_words=("x",)), (0,), said, words) for said in ((), (1,), (0, 1))]
    assert [gone(row) for row in changed(rows)] == [{3}, {3}, {3}]
    assert [gone(row) for row in changed(rows, [[0, 0, 0]])] == [{1, 3}, {1, 2, 3}, {1, 2, 3}]
    assert [gone(row) for row in changed(rows, [[0, 0, 0], [5, 5, 0]])] == [{3}, {3}, {1, 3}]


def gone(logits: torch.Tensor) -> set[int]:
    return set(torch.isinf(logits).nonzero()[:, 0].tolist())


def test_a_draw_by_another_law_has_the_log_probability_of_the_models_own() -> None:
    sampling = Sampling(1, temperature=0.0, bad_words=("x",))
    past = Past.of([Said(sampling, (0,), (), ((0,),))], len(LOGITS), CPU)
    nothing = torch.ones(1, len(LOGITS), dtype=torch.float64)
    tokens, logprobs = draw(LOGITS[None], SamplingMetadata([sampling], CPU), nothing, past)
    assert tokens.tolist() == [1]
    assert logprobs.tolist() == pytest.approx([float(torch.log_softmax(LOGITS.double(), -1)[1])])
