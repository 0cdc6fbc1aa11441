"""What a search sends again is not computed again, and the books say so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from reward_models import make, score_rounds

from tts_bench.cost.ledger import Meter
from tts_bench.verifier.prefixes import PrefixStore
from tts_bench.verifier.prm import ProcessRewardModel
from tts_bench.verifier.reader import batches, ready

A, B, C = tuple(range(20)), tuple(range(12)) + tuple(range(50, 60)), tuple(range(90, 99))


def ramp(ids: tuple[int, ...], start: int = 0) -> tuple[torch.Tensor, ...]:
    """Tensors that say of each token which one it is: [2, tokens, 3] and [tokens, 1]."""
    one = torch.tensor(ids[start:], dtype=torch.float32)[:, None]
    return one.expand(2, -1, 3), one


def stored(store: PrefixStore, ids: tuple[int, ...]) -> list[float]:
    return [float(n) for piece in store.find(ids).pieces for n in piece[1][:, 0]]


def test_the_longest_known_prefix_is_found_whatever_it_was_part_of():
    store = PrefixStore(100)
    store.add(A, 0, ramp(A))
    assert store.known(B) == 12
    store.add(B, 12, ramp(B, 12))
    assert stored(store, (*B, 7)) == list(B)
    assert stored(store, A) == list(A)
    assert store.find(A).pieces[0][0].shape == (2, 12, 3)
    assert store.tokens == 20 + 10
    assert store.find(C).length == 0


def test_the_prefix_that_was_used_longest_ago_goes_first():
    store = PrefixStore(30)
    store.add(A, 0, ramp(A))
    store.add(B, 12, ramp(B, 12))
    store.find(A)
    store.add(C, 0, ramp(C))  # 39 tokens: the end of B must go
    assert [store.known(ids) for ids in (A, B, C)] == [20, 12, 9]
    assert store.tokens == 29


def test_a_prefix_with_a_gap_before_it_is_not_kept():
    store = PrefixStore(100)
    store.add(A, 5, ramp(A, 5))
    assert store.known(A) == store.tokens == 0


def test_a_store_without_room_keeps_nothing():
    store = PrefixStore(0)
    store.add(A, 0, ramp(A))
    assert store.known(A) == 0


def test_a_text_waits_for_another_that_computes_what_it_needs():
    store = PrefixStore(100)
    assert ready([A, B, C], store, {}) == [0, 2]  # A and B share 12 tokens
    assert ready([A[:7], (*A[:7], 1)], store, {}) == [1, 0]  # 7 are not worth it
    store.add(A, 0, ramp(A))
    assert sorted(ready([A, B, C], store, {})) == [0, 1, 2]


def test_no_text_waits_in_vain():
    store, waited = PrefixStore(0), {}  # nothing that is computed will be there
    assert ready([A, B], store, waited) == [0]
    assert ready([B, (*B, 1), (*B, 2)], store, waited) == [0]
    assert sorted(ready([(*B, 1), (*B, 2)], store, waited)) == [0, 1]
    assert waited == {}


def test_batches_hold_what_fits_and_at_least_one():
    store = PrefixStore(100)
    store.add(A, 0, ramp(A))
    texts = [(*A, 1, 2), C, (5,)]
    assert batches(texts, store, 1000) == [texts]
    assert batches(texts, store, 58) == [texts[:2], texts[2:]]  # 20 cached and 9 new, twice
    assert batches(texts, store, 1) == [[text] for text in texts]


def beam_search(seed: int, width: int, depth: int) -> list[list[str]]:
    """Texts of each round: the candidates extend the best of the round before."""
    rng = random.Random(seed)
    kept, rounds = [""] * (width // 4), []
    for _ in range(depth):
        texts = []
        for prefix in kept:
            for _ in range(4):
                a, b = rng.randrange(30), rng.randrange(30)
                texts.append(f"{prefix}{a} plus {b} equals {a + b}.\n\n")
        rounds.append(texts)
        kept = rng.sample(texts, width // 4)
    return rounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("trl", tmp_path_factory.mktemp("reuse") / "trl")


def charged(folder: Path, **settings: Any) -> dict[str, Meter]:
    """The verifier's account of three problems that are searched at once."""
    problems = {f"Add {number} things to {number}.": number for number in (3, 5, 8)}
    searches = {p: beam_search(number, 16, 8) for p, number in problems.items()}
    rounds = [[(p, searches[p][i]) for p in problems] for i in range(8)]
    verifier = ProcessRewardModel(str(folder), device="cpu", threads=1, **settings)
    meters = {p: Meter(None) for p in problems}
    for asked, scored in zip(rounds, score_rounds(verifier, rounds), strict=True):
        for (problem, _), scorings in zip(asked, scored, strict=True):
            meters[problem].charge([call for one in scorings for call in one.calls])
    return meters


def computed(meter: Meter) -> int:
    return meter.usage.prompt_tokens_logical - meter.cached_tokens


def test_a_beam_search_computes_little_more_than_each_token_once(folder: Path):
    for meter in charged(folder).values():
        ideal = meter.usage.prompt_tokens_ideal
        assert ideal <= computed(meter) <= 1.2 * ideal
        assert meter.usage.prompt_tokens_logical > 5 * ideal  # what it costs without a cache


def test_without_a_cache_every_text_is_paid_in_full(folder: Path):
    for meter in charged(folder, cache_tokens=0).values():
        assert meter.cached_tokens == 0
