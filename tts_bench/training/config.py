"""Keys of a training file; `config_file` reads and checks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tts_bench.dataset.base import Dataset
from tts_bench.prompt import Prompt
from tts_bench.verifier.formats import (
    FORMATS,
    OUTCOME_FORMATS,
    Format,
    OutcomeFormat,
    check_name,
)

Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _listed(value: Any) -> Any:
    """A tuple of one name, if a name stands where several may stand."""
    if isinstance(value, str) and value not in ("auto", "none"):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Dropout = Annotated[float, Field(ge=0, lt=1)]
Files = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Trackers = Annotated[tuple[str, ...] | Literal["auto", "none"], BeforeValidator(_listed)]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model that is trained from scratch."""

    architecture: Literal["llama", "qwen2", "qwen3"]
    tokenizer: str
    """Folder or hub id; the vocabulary has as many entries as this tokenizer has tokens."""
    hidden_size: Count
    layers: Count
    heads: Count
    kv_heads: Count | None = None
    """Heads of keys and values; as many as `heads` if it is left out."""
    intermediate_size: Count | None = None
    """Width of the gated MLP; four times `hidden_size` if it is left out."""
    max_length: Count = 2048
    """Longest context (`max_position_embeddings`)."""
    rope_theta: Positive = 10_000.0
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a curriculum; the stages run in the order in which they stand."""

    data: Files
    epochs: Count = 1
    learning_rate: Positive | None = None
    """Where it is left out, that of the whole training."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data: names no file")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Keys of every training; docs/training.md explains each."""

    output: str
    model: str | Architecture = ""
    added_layers: Index = 0
    """New layers on top of a model that is loaded; they compute the identity at first."""
    frozen_layers: Index = 0
    """Lowest layers that keep their weights, and the embeddings with them."""
    seed: Index = 0
    learning_rate: Positive
    optimizer: Literal["adamw", "muon"] = "adamw"
    adamw_learning_rate: Positive = 3e-3
    """With `optimizer: muon`, that of the parameters that Muon is not for."""
    weight_decay: NonNegative = 0.0
    max_grad_norm: NonNegative = 1.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    final_learning_rate: NonNegative = 0.0
    """End of the schedule, as a share of the learning rate."""
    warmup: NonNegative = 0.0
    """Steps of linear warm-up; below 1, a share of all steps."""
    max_steps: Count | None = None
    accumulate: Count = 1
    """Batches whose gradients make one step."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; weights and optimizer are float32 while they are trained."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights that are saved."""
    max_length: Count | None = None
    """Longest sequence in tokens; the model's context if it is left out."""
    log_every: Count = 10
    save_every: Count | None = None
    """Steps between checkpoints; only at an interruption if it is left out."""
    keep_checkpoints: Count = 1
    report_to: Trackers = "auto"
    """Trackers, as transformers names them; `auto` is every one that is installed."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(TrainingConfig):
    """A training on rows of files, or of a data set on the hub."""

    data: Files = ()
    """Files (.jsonl, .json, .csv, .parquet), or one hub id."""
    split: str = "train"
    revision: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    epochs: Count = 1
    batch_size: Count | None = None
    """Sequences in a batch; 16 if neither this nor `batch_tokens` is given."""
    batch_tokens: Count | None = None
    """Tokens in a batch, padding included."""
    too_long: Literal["skip", "error"] = "skip"
    """Rows longer than `max_length` are left out or are an error; none is ever cut."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(DataConfig):
    """Supervised fine-tuning of a policy."""

    loss_on: Literal["completion", "all"] = "completion"
    prompt: Prompt | None = None
    """As a suite's `prompt:`; if it is left out, the chat template if there is one."""


@dataclass(frozen=True, kw_only=True)
class OrmConfig(DataConfig):
    """An outcome reward model."""

    format: str | OutcomeFormat = "classifier"
    """How problem and solution become tokens: as the verifier that reads the model is told."""
    head_dropout: Dropout = 0.0

    def __post_init__(self) -> None:
        check_name(self.format, OUTCOME_FORMATS)


@dataclass(frozen=True, kw_only=True)
class PrmConfig(DataConfig):
    """A process reward model."""

    format: str | Format = "trl"
    """How problem and steps become tokens: as the verifier that reads the model is told."""
    delimiter: str = "\n\n"
    data_format: Literal["auto", "stepwise", "prm800k", "processbench", "math_shepherd"] = "auto"
    label_tokens: Count = 1
    """How many of the last tokens of each step carry its label. The verifier reads the last one;
    more of them are more to learn from where a step's end says less than what stands before."""
    labels: Literal["hard", "soft"] = "hard"
    """`soft` reads probabilities: the column `soft`, or numbers in `labels`."""
    neutral: Literal["positive", "negative", "ignore"] = "positive"
    """What PRM800K's rating 0 counts as."""
    alternatives: bool = True
    """Whether PRM800K's other completions of a step are learnt from too."""
    after_error: Literal["negative", "ignore"] = "negative"
    """What ProcessBench's steps after the first wrong one count as."""
    step_tag: str = "ки"
    """The mark after each step in Math-Shepherd's texts."""
    head_dropout: Dropout = 0.0

    def __post_init__(self) -> None:
        check_name(self.format, FORMATS)
        if not self.delimiter:
            raise ValueError("delimiter must not be empty")
        if not self.step_tag:
            raise ValueError("step_tag must not be empty")


@dataclass(frozen=True, kw_only=True)
class GrpoConfig(TrainingConfig):
    """Reinforcement learning with the grader as the reward."""

    dataset: Dataset | None = None
    prompt: Prompt = field(default_factory=Prompt)
    max_completion_length: Count
    group_size: Annotated[int, Field(ge=2)] = 8
    """G: completions of each problem."""
    problems_per_step: Count = 8
    """Problems in each step of the optimizer."""
    steps_per_generation: Count = 1
    """Steps that share one round of generation, each on its own part of it."""
    iterations: Count = 1
    """How often each round of generation is gone through (mu)."""
    beta: NonNegative = 0.0
    """Weight of the KL penalty (k3 estimator); 0 loads no reference model."""
    epsilon: Positive = 0.2
    epsilon_high: Positive | None = None
    """Upper clip; `epsilon` if it is left out."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    temperature: Positive = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    epochs: Count = 1
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    use_vllm: bool = False
