from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.tiny.tokenizer import build_tokenizer, write_tokenizer

BUILT = build_tokenizer()


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives(text: str):
    ids = BUILT(text, add_special_tokens=False)["input_ids"]
    assert BUILT.decode(ids, clean_up_tokenization_spaces=False) == text


def test_solutions_are_short():
    text = "<think>48 - 9 = 39\n\nWait, check: 48 - 9 = 39\n\n</think>\\boxed{39}"
    tokens = [BUILT.decode([i]) for i in BUILT(text)["input_ids"]]
    step = ["48", " - ", "9", " = ", "39", "\n\n"]
    assert tokens == [
        *["<think>", *step, "Wait", ", check: ", *step],
        *["</think>", "\\boxed{", "39", "}"],
    ]


def test_an_injected_wait_is_spelt_as_in_the_training_data():
    whole = BUILT("39\n\nWait, check: 4")["input_ids"]
    parts = [BUILT(part)["input_ids"] for part in ("39\n\n", "Wait", ", check: 4")]
    assert whole == [i for part in parts for i in part]


def test_decoding_keeps_the_marks_of_thinking_and_drops_the_special_tokens():
    ids = BUILT("<think>1</think><|end|><|pad|>")["input_ids"]
    assert BUILT.decode(ids, skip_special_tokens=True) == "<think>1</think>"


def test_chat_template_keeps_the_text_as_it_is():
    ids = HuggingFaceTokenizer(BUILT).encode_chat(
        [{"role": "user", "content": "  Compute 1 + 2.\n"}], {}
    )
    assert BUILT.decode(ids) == "<|user|>  Compute 1 + 2.\n<|end|><|assistant|>"


def test_written_files_make_the_same_tokenizer(tmp_path: Path):
    import transformers

    library: Any = transformers
    write_tokenizer(tmp_path / "tokenizer")
    read = library.AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert read.is_fast
    assert (read.pad_token, read.eos_token) == ("<|pad|>", "<|end|>")
    assert read.chat_template == BUILT.chat_template
    assert read.get_vocab() == BUILT.get_vocab()


@pytest.mark.parametrize("token", ["<think>", "</think>", "<|end|>", " + ", "\n\n", "57"])
def test_one_token(token: str):
    assert len(BUILT(token)["input_ids"]) == 1
