from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.stop_strings import StopStrings


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_dir)


@pytest.fixture(scope="module")
def spaces() -> Any:
    """A tokenizer of words that, like sentencepiece, drops a space at the start of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["▁one", "▁two", "▁three", "!"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="!"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def test_a_leading_space_survives(spaces: Any) -> None:
    assert spaces.decode([1, 2]) == "two three"
    assert HuggingFaceTokenizer(spaces).added_text([0], [1, 2]) == " two three"
    assert HuggingFaceTokenizer(spaces).added_text([0], [3]) == "!"


def test_every_cut_of_a_text_gives_what_the_rest_adds(tokenizer: Any) -> None:
    text = "3 plus 4 equals 7.\n\nüber 10 €, naïve 東京"
    ids = tokenizer(text)["input_ids"]
    for cut in range(1, len(ids)):
        added = HuggingFaceTokenizer(tokenizer).added_text(ids[:cut], ids[cut:])
        before = tokenizer.decode(ids[:cut]).rstrip("\N{REPLACEMENT CHARACTER}")
        assert before + added == text


def test_special_tokens_add_no_text(tokenizer: Any) -> None:
    ids = tokenizer("plus", add_special_tokens=False)["input_ids"]
    assert HuggingFaceTokenizer(tokenizer).added_text([1, 5], [*ids, 2]) == "plus"
    assert HuggingFaceTokenizer(tokenizer).added_text([1], []) == ""


@pytest.mark.parametrize("stop", ["\n\n", "s 7.", "€", "equals 7.\n\nüb"])
def test_a_stop_string_is_found_at_the_token_that_completes_it(tokenizer: Any, stop: str) -> None:
    text = "30 plus 4 equals 7.\n\nüber 10 €, and so on"
    ids = tokenizer(text)["input_ids"]
    stops = StopStrings(HuggingFaceTokenizer(tokenizer), ("nothing", stop))
    first = next(n for n in range(1, len(ids) + 1) if stop in tokenizer.decode(ids[:n]))
    assert [stops.found(ids[:n]) for n in range(1, first + 1)] == [None] * (first - 1) + [stop]


def test_of_two_stop_strings_the_one_that_ends_first_is_named(tokenizer: Any) -> None:
    ids = tokenizer("a b\n\n")["input_ids"]
    assert StopStrings(HuggingFaceTokenizer(tokenizer), ("\n\n", "b\n")).found(ids) == "b\n"
    assert StopStrings(HuggingFaceTokenizer(tokenizer), ()).found(ids) is None


def test_ends_of_all_configurations_count(tokenizer: Any) -> None:
    several = SimpleNamespace(eos_token_id=[7, 8])
    port = HuggingFaceTokenizer(tokenizer)
    found = port.end_ids(several, SimpleNamespace(), SimpleNamespace(eos_token_id=9))
    assert found == {2, 7, 8, 9}
