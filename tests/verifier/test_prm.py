"""Process reward models on transformers, each against a plain forward pass over one text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from reward_models import make, score, score_rounds, steps, values
from safetensors.torch import load_file

from tts_bench.errors import ModelError, UsageError, VerifierError
from tts_bench.verifier.formats import Format
from tts_bench.verifier.prm import ProcessRewardModel

PROBLEM = "Add 1, 2 and 4."
FIRST, SECOND, WRONG, LAST = (
    "1 plus 2 equals 3.",
    "3 plus 4 equals 7.",
    "3 plus 4 equals 9.",
    "So 7",
)
FINISHED = f"{FIRST}\n\n{SECOND}\n\n{LAST}"
PAUSED = f"{FIRST}\n\n{WRONG}\n\n"
TEXTS = [FINISHED, PAUSED, f"{FIRST}\n\n", "x", f"{WRONG}\n\n{WRONG}\n\n{WRONG}\n\n{LAST}"]
STEPS = [
    [FIRST, SECOND, LAST],
    [FIRST, WRONG],
    [FIRST],
    ["x"],
    [WRONG, WRONG, WRONG, LAST],
]
KINDS = ("trl", "qwen2.5-math-prm", "skywork-o1-open-prm", "math-shepherd", "rlhflow")
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."

Probabilities = Callable[[list[int]], torch.Tensor]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    kinds = (*KINDS, "three-labels", "orm")
    return {kind: make(kind, tmp_path_factory.mktemp("prm") / kind) for kind in kinds}


def prm(folder: Path, **settings: Any) -> ProcessRewardModel:
    settings = {"device": "cpu", "threads": 1} | settings
    return ProcessRewardModel(str(folder), **settings)


def named(kind: str) -> dict[str, Any]:
    """A causal model's class does not say that it is a reward model."""
    return {"format": kind} if kind in ("math-shepherd", "rlhflow") else {}


def chat(words: Any, system: str | None = None, problem: str = PROBLEM) -> str:
    head = f"<|start|>system\n{system}<|end|>\n" if system else ""
    return f"{head}<|start|>user\n{problem}<|end|>\n<|start|>assistant\n"


def ids(words: Any, text: str) -> list[int]:
    return list(words(text, add_special_tokens=False)["input_ids"])


def hidden(folder: Path, tokens: list[int]) -> torch.Tensor:
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")
    return model(torch.tensor([tokens])).last_hidden_state[0]


@torch.inference_mode()
def trl_reference(folder: Path, pieces: list[str], ended: bool) -> list[float]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    tokens, places = ids(words, chat(words)), []
    for i, piece in enumerate(pieces):
        tokens += ids(words, piece)
        if i < len(pieces) - 1 or ended:
            tokens += ids(words, "\n\n")
        places.append(len(tokens) - 1)
    right = model(torch.tensor([tokens])).logits[0].softmax(-1)[:, 1]
    return [float(right[place]) for place in places]


@torch.inference_mode()
def qwen_reference(folder: Path, pieces: list[str], ended: bool) -> list[float]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    # As on the model card: the whole conversation in one string, the end of the turn included.
    text = chat(words, SYSTEM) + "<extra_0>".join(pieces) + "<extra_0><|end|>\n"
    tokens = ids(words, text)
    stored = load_file(folder / "model.safetensors")
    inner = hidden(folder, tokens) @ stored["score.0.weight"].T + stored["score.0.bias"]
    logits = inner.relu() @ stored["score.2.weight"].T + stored["score.2.bias"]
    marker = words.convert_tokens_to_ids("<extra_0>")
    return [float(logits[i].softmax(-1)[1]) for i, t in enumerate(tokens) if t == marker]


@torch.inference_mode()
def skywork_reference(folder: Path, pieces: list[str], ended: bool) -> list[float]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    tokens, flags = ids(words, f"{PROBLEM}\n"), []
    for piece in pieces:
        tokens += [*ids(words, piece), ids(words, "\n")[-1]]
        flags.append(len(tokens) - 1)
    stored = load_file(folder / "model.safetensors")
    head = hidden(folder, tokens) @ stored["v_head.summary.weight"].T
    values = (head + stored["v_head.summary.bias"]).sigmoid()
    return [float(values[flag]) for flag in flags]


@torch.inference_mode()
def shepherd_reference(folder: Path, pieces: list[str], ended: bool) -> list[float]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    text = f"{PROBLEM} " + "".join(f"{piece} ки\n" for piece in pieces)
    tokens = ids(words, text)
    pair = [ids(words, "+")[-1], ids(words, "-")[-1]]
    plus = model(torch.tensor([tokens])).logits[0][:, pair].softmax(-1)[:, 0]
    tag = words.convert_tokens_to_ids("ки")
    return [float(plus[i]) for i, token in enumerate(tokens) if token == tag]


@torch.inference_mode()
def rlhflow_reference(folder: Path, pieces: list[str], ended: bool) -> list[float]:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    pair = [ids(words, "+")[-1], ids(words, "-")[-1]]
    found, text = [], ""
    for i, piece in enumerate(pieces):
        turn = f"{PROBLEM} {piece}" if i == 0 else piece
        text += f"<|start|>user\n{turn}<|end|>\n<|start|>assistant\n"
        logits = model(torch.tensor([ids(words, text)])).logits[0, -1, pair]
        found.append(float(logits.softmax(-1)[0]))
        text += "+<|end|>\n"
    return found


REFERENCES = {
    "trl": trl_reference,
    "qwen2.5-math-prm": qwen_reference,
    "skywork-o1-open-prm": skywork_reference,
    "math-shepherd": shepherd_reference,
    "rlhflow": rlhflow_reference,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_tokens", [1, 16384])
def test_scores_are_those_of_a_plain_forward_pass(
    kind: str, batch_tokens: int, folders: dict[str, Path]
):
    verifier = prm(folders[kind], batch_tokens=batch_tokens, **named(kind))
    scorings = score(verifier, PROBLEM, TEXTS)
    for scoring, pieces, text in zip(scorings, STEPS, TEXTS, strict=True):
        expected = REFERENCES[kind](folders[kind], pieces, text.endswith("\n\n"))
        assert scoring.score.steps == pytest.approx(expected, abs=2e-6)
        assert scoring.score.value == scoring.score.steps[-1]
        assert len({round(number, 5) for number in expected}) == len(pieces)  # positions matter


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_the_cache_or_on_what_is_in_the_batch(
    kind: str, folders: dict[str, Path]
):
    growing = [FINISHED[:end] for end in (5, 20, 25, 38, len(FINISHED))]
    alone = [
        steps(score(prm(folders[kind], cache_tokens=0, **named(kind)), PROBLEM, [text]))[0]
        for text in growing
    ]
    rounds = [[(PROBLEM, [text, *TEXTS[1:]]), ("Another?", [text])] for text in growing]
    together = score_rounds(prm(folders[kind], **named(kind)), rounds)
    for expected, (scorings, _) in zip(alone, together, strict=True):
        assert scorings[0].score.steps == pytest.approx(expected, abs=2e-6)
    assert together[-1][0][0].calls[0].cached_prompt_tokens > 20


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("last", -1),
        ("min", min),
        ("prod", torch.Tensor.prod),
        ("mean", torch.Tensor.mean),
        ("gmean", lambda numbers: numbers.log().mean().exp()),
        ("max", max),
    ],
)
def test_aggregates(how: str, expected: Any, folders: dict[str, Path]):
    scoring = score(prm(folders["trl"], aggregate=how), PROBLEM, [FINISHED])[0]
    numbers = scoring.score.steps
    if how == "last":
        assert scoring.score.value == numbers[-1]
    else:
        whole = torch.tensor(numbers, dtype=torch.float64)
        assert scoring.score.value == pytest.approx(float(expected(whole)))


def test_a_call_holds_what_was_read_and_charges_no_vocabulary_logits(folders: dict[str, Path]):
    scoring = score(prm(folders["trl"]), PROBLEM, [FINISHED])[0]
    words = transformers.AutoTokenizer.from_pretrained(folders["trl"])
    (call,) = scoring.calls
    assert words.decode(list(call.prompt_ids)).endswith(f"assistant\n{FINISHED}")
    assert (call.completion_tokens, call.logits, call.cached_prompt_tokens) == (0, 0, 0)


def test_a_text_without_steps_scores_nothing_and_costs_nothing(folders: dict[str, Path]):
    scorings = score(prm(folders["trl"]), PROBLEM, ["", "\n\n", FINISHED])
    assert values(scorings)[:2] == [0.0, 0.0]
    assert [len(scoring.calls) for scoring in scorings] == [0, 0, 1]
    assert len(scorings[2].score.steps) == 3


def test_a_text_that_is_too_long_is_an_error_and_not_a_score(folders: dict[str, Path]):
    with pytest.raises(VerifierError, match=r"reads 64 \(verifier.max_model_len\)"):
        score(prm(folders["trl"], max_model_len=64), PROBLEM, ["1 " * 100])


def test_a_marker_in_the_solution_is_an_error_where_it_cannot_be_told_apart(
    folders: dict[str, Path],
):
    with pytest.raises(VerifierError, match="3 positions to read for 2 steps"):
        score(prm(folders["math-shepherd"], format="math-shepherd"), "?", ["a ки b\n\nc"])


def test_a_format_of_the_users_own(folders: dict[str, Path]):
    # What the family `trl` does, but the last piece is closed and label 0 is the right one.
    own = Format("pieces", "labels", chat=True, right=0)
    known = score(prm(folders["trl"]), PROBLEM, [f"{FIRST}\n\n{WRONG}\n\n"])
    closed = score(prm(folders["trl"], format=own), PROBLEM, [f"{FIRST}\n\n{WRONG}"])
    expected = [1 - number for number in known[0].score.steps]
    assert closed[0].score.steps == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "error", "message"),
    [
        ("trl", {"format": "rlhflow"}, ModelError, "needs a model ...ForCausalLM"),
        ("trl", {"format": "qwen2.5-math-prm"}, ModelError, r"lack score\.0\.weight"),
        ("orm", {}, ModelError, "not known as a process reward model"),
        ("math-shepherd", {}, ModelError, "not known as a process reward model"),
        ("three-labels", {}, ModelError, "3 labels"),
        ("trl", {"max_model_len": 4096}, ModelError, "was made for 512"),
        ("trl", {"device": "cuda:7"}, ModelError, "not available"),
        ("trl", {"options": {"seed": 1}}, ModelError, "backend: vllm"),
        ("trl", {"batch_tokens": 0}, ModelError, "at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_at_the_start(
    kind: str,
    settings: dict[str, Any],
    error: type[UsageError],
    message: str,
    folders: dict[str, Path],
):
    with pytest.raises(error, match=message) as caught:
        score(prm(folders[kind], **settings), PROBLEM, TEXTS)
    assert "\n" not in str(caught.value)


def test_a_misspelt_format_is_a_fault_of_the_suite():
    with pytest.raises(ValueError, match=r"Did you mean 'qwen2\.5-math-prm'"):
        ProcessRewardModel("model", format="qwen-math-prm")


def test_a_marker_that_the_tokenizer_lacks(tiny_model_dir: Path):
    own = Format("pieces", "tokens", marker="<step>")
    with pytest.raises(ModelError, match="no token '<step>'"):
        score(prm(tiny_model_dir, format=own), PROBLEM, TEXTS)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match="no model folder"):
        score(prm(tmp_path / "nothing"), PROBLEM, TEXTS)
