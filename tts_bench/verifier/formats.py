"""How each family of process reward models wants its text, as data.

A format says how the problem and the steps become tokens, where the model is read, and what its
numbers mean. Sources and what could not be checked: docs/verifiers.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tts_bench.errors import ModelError, UnknownName

Layout = Literal["pieces", "text", "turns"]
"""How a text is put together.

`pieces`: the prompt, then the tokens of each step and of the marker after it, each encoded by
itself. `text`: one string, encoded as a whole. `turns`: a chat with one turn for each step, which
the model answers with the token for right or wrong.
"""

Head = Literal["labels", "process_reward", "value", "tokens", "scalar", "reward"]
"""What is read at a position.

`labels`: two classes of a token classifier. `process_reward`: two classes of Qwen's two-layer
head. `value`: one logit of a value head (`v_head`). `tokens`: the logits of two tokens of a causal
model. `scalar`: one logit of a sequence classifier. `reward`: one logit of Qwen's two-layer head.
"""
HEAD_NUMBERS: dict[Head, int] = {
    "labels": 2,
    "process_reward": 2,
    "value": 1,
    "tokens": 2,
    "scalar": 1,
    "reward": 1,
}
"""How many logits each kind of head gives."""

PROBLEM, STEP = "{problem}", "{step}"
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True, slots=True)
class Format:
    """One family's format; a suite may give a record of its own for a new model."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    layout: Layout
    head: Head
    prompt: str = PROBLEM
    """Beginning of the text, or the user's turn where `chat` is set; holds `{problem}`."""
    chat: bool = False
    """Apply the model's chat template to the prompt (layout `turns` always does)."""
    system: str | None = None
    """System turn; needs `chat`."""
    step: str = STEP
    """How a step is written; holds `{step}`, the step without its delimiter."""
    marker: str | None = None
    """What stands after a step and is read; one token. None: the verifier's delimiter, read at
    its last token."""
    close_last: bool = True
    """Whether the marker also follows a last piece that no delimiter ended. If not, that piece is
    read at its own last token."""
    right: int = 1
    """Which of two labels means that the step is right."""
    right_token: str = "+"
    wrong_token: str = "-"
    """The two tokens of the head `tokens`."""

    def __post_init__(self) -> None:
        if PROBLEM not in self.prompt:
            raise ValueError(f"prompt must hold {PROBLEM}")
        if STEP not in self.step:
            raise ValueError(f"step must hold {STEP}")
        if self.system is not None and not (self.chat or self.layout == "turns"):
            raise ValueError("system needs chat: true")
        if self.right not in (0, 1):
            raise ValueError(f"right must be label 0 or 1, not {self.right}")
        if self.head == "tokens" and self.right != 1:
            raise ValueError("right is for labels; tokens have right_token and wrong_token")
        if self.layout == "turns" and self.head != "tokens":
            raise ValueError("layout turns is answered by tokens: set head: tokens")
        if self.layout == "text" and (not self.marker or self.marker not in self.step):
            raise ValueError("layout text needs a marker, and a step that holds it")


FORMATS = {
    "qwen2.5-math-prm": Format(
        "pieces", "process_reward", chat=True, system=QWEN_SYSTEM, marker="<extra_0>"
    ),
    "qwen2.5-math-prm800k": Format(
        "pieces", "process_reward", chat=True, system=QWEN_SYSTEM, marker="<extra_0>"
    ),
    "skywork-o1-open-prm": Format("pieces", "value", prompt="{bos}{problem}\n", marker="\n"),
    "math-shepherd": Format("text", "tokens", prompt="{problem} ", step="{step} ки\n", marker="ки"),
    "rlhflow": Format("turns", "tokens", prompt="{problem} "),
    "trl": Format("pieces", "labels", chat=True, close_last=False),
}

BY_MODEL = {
    "Qwen/Qwen2.5-Math-PRM-7B": "qwen2.5-math-prm",
    "Qwen/Qwen2.5-Math-PRM-72B": "qwen2.5-math-prm",
    "Qwen/Qwen2.5-Math-7B-PRM800K": "qwen2.5-math-prm800k",
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B": "skywork-o1-open-prm",
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B": "skywork-o1-open-prm",
    "peiyi9979/math-shepherd-mistral-7b-prm": "math-shepherd",
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": "rlhflow",
    "RLHFlow/Llama3.1-8B-PRM-Mistral-Data": "rlhflow",
}
"""Published models, by their exact hub id."""

BY_ARCHITECTURE = {
    "Qwen2ForProcessRewardModel": "qwen2.5-math-prm",
    "Qwen2ForPrmModel": "skywork-o1-open-prm",
}
"""Classes that only one family uses; every `...ForTokenClassification` is read as `trl`."""
TOKEN_CLASSIFIER = "ForTokenClassification"


@dataclass(frozen=True, slots=True)
class OutcomeFormat:
    """How an outcome reward model wants a whole solution; it is read at the last token."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    head: Head
    prompt: str = PROBLEM
    chat: bool = True
    system: str | None = None
    end: Literal["text", "eos", "turn"] = "text"
    """What stands last: the solution's own last token, the end-of-sequence token, or what the
    chat template puts after an assistant's turn."""

    def __post_init__(self) -> None:
        if PROBLEM not in self.prompt:
            raise ValueError(f"prompt must hold {PROBLEM}")
        if not self.chat and (self.system is not None or self.end == "turn"):
            raise ValueError("system and end: turn need chat: true")


OUTCOME_FORMATS = {
    "classifier": OutcomeFormat("scalar"),
    "classifier-eos": OutcomeFormat("scalar", end="eos"),
    "qwen2.5-math-rm": OutcomeFormat("reward", system=QWEN_SYSTEM, end="turn"),
}
OUTCOME_ARCHITECTURES = {"Qwen2ForRewardModel": "qwen2.5-math-rm"}
SEQUENCE_CLASSIFIER = "ForSequenceClassification"


def check_name(given: object, known: Mapping[str, object]) -> None:
    """Raise ValueError for a name that no format has."""
    if isinstance(given, str) and given not in known:
        raise ValueError(f"{UnknownName('format', given, known)} Known: {', '.join(known)}")


def find_format(given: str | Format | None, model: str, architectures: Sequence[str]) -> Format:
    """The format that is given, or that of a known model, or that of its architecture.

    Raises UnknownName for a name that no format has, ModelError if nothing is known.
    """
    if isinstance(given, Format):
        return given
    if given is not None:
        if given not in FORMATS:
            raise UnknownName("format", given, FORMATS)
        return FORMATS[given]
    if model in BY_MODEL:
        return FORMATS[BY_MODEL[model]]
    for architecture in architectures:
        if architecture in BY_ARCHITECTURE:
            return FORMATS[BY_ARCHITECTURE[architecture]]
        if architecture.endswith(TOKEN_CLASSIFIER):
            return FORMATS["trl"]
    kind = ", ".join(architectures) or "of no known class"
    raise ModelError(
        f"{model} ({kind}) is not known as a process reward model; if it is one, set its format:"
        f" {', '.join(FORMATS)}, or a record of your own"
    )


def find_outcome_format(
    given: str | OutcomeFormat | None, model: str, architectures: Sequence[str]
) -> OutcomeFormat:
    """The format that is given, or that of the model's architecture.

    Raises ModelError if nothing is known.
    """
    if given is not None:
        return OUTCOME_FORMATS[given] if isinstance(given, str) else given
    for architecture in architectures:
        if architecture in OUTCOME_ARCHITECTURES:
            return OUTCOME_FORMATS[OUTCOME_ARCHITECTURES[architecture]]
        if architecture.endswith(SEQUENCE_CLASSIFIER):
            return OUTCOME_FORMATS["classifier"]
    kind = ", ".join(architectures) or "of no known class"
    raise ModelError(
        f"{model} ({kind}) is not known as an outcome reward model; if it is one, set its format:"
        f" {', '.join(OUTCOME_FORMATS)}, or a record of your own"
    )
