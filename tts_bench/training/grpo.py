"""Group-relative policy optimisation (Shao et al. 2024) with the grader as the reward.

TRL's GRPOTrainer, with every setting on which the objective depends written out:

- the ratio of each token is to the policy that drew it: its log-probabilities are stored
  whenever a round of generation serves more than one step (`steps_per_generation`,
  `iterations`); with one step for each round the two policies are the same, and the ratio is 1;
- the KL penalty is the k3 estimator of each token, r - log r - 1 with r = p_ref / p;
- a token's loss counts the same in short and long completions (`loss_type: dapo`: the sum over
  all tokens of the step divided by their number);
- a group whose rewards are all equal has no advantage and teaches nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import warnings
from collections.abc import Sequence
from typing import Any

from tts_bench.answers.extract import boxed, extract
from tts_bench.answers.grader import Grader
from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.errors import ModelError, UsageError
from tts_bench.prompt import Prompt
from tts_bench.training.callbacks import LOG, CsvLog, StopWhenAsked
from tts_bench.training.config import GrpoConfig
from tts_bench.training.folder import OutputFolder
from tts_bench.training.models import load_model, load_tokenizer, pad_id
from tts_bench.training.optimizers import make_optimizer, make_scheduler
from tts_bench.training.setup import open_folder, say
from tts_bench.training.trainer import TrainingOutcome, arguments, run
from tts_bench.types import Problem


def train_grpo(
    config: GrpoConfig, *, resume: bool = False, overwrite: bool = False
) -> TrainingOutcome:
    """Train a policy on the problems of a data set and write it to `config.output`."""
    _check(config)
    assert config.dataset is not None
    loaded = config.dataset.load()
    steps = steps_of(config, len(loaded))
    tokenizer = load_tokenizer(config)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad_id(tokenizer))
    model = load_model(config, tokenizer, "AutoModelForCausalLM")
    folder = open_folder(config, overwrite=overwrite)
    folder.begin(config, _describe(loaded), resume=resume)
    say(f"{len(loaded)} problems, {steps} steps of {config.problems_per_step} problems")
    reward = CorrectAnswer(tokenizer, model, config.prompt)
    with StopWhenAsked(every=cycle(config)) as stop, reward:
        trainer = make_trainer(
            config,
            folder,
            model=model,
            tokenizer=tokenizer,
            reward=reward,
            items=loaded.items,
            steps=steps,
        )
        trainer.add_callback(CsvLog(folder.path / LOG))
        trainer.add_callback(stop)
        return run(trainer, config, folder)


class CorrectAnswer:
    """The reward of a completion: 1 where its answer equals the reference, else 0.

    Answers are found and compared as in a run: one that was cut off has an answer only in a
    box, what is thought is no answer, and a comparison that times out counts as wrong.
    """

    __name__ = "correct"  # TRL names the reward after the function

    def __init__(self, tokenizer: Any, model: Any, prompt: Prompt) -> None:
        self._tokenizer = HuggingFaceTokenizer(tokenizer)
        # How a prompt ends does not depend on the problem in it.
        self._thinking = prompt.dialogue(Problem("", "1"), self._tokenizer).opens_thinking
        self._ends = self._tokenizer.end_ids(model.config, model.generation_config)
        self._runner = asyncio.Runner()
        self._grader = Grader()

    def __enter__(self) -> CorrectAnswer:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._grader.close())
        self._runner.close()

    def __call__(
        self, completion_ids: Sequence[Sequence[int]], reference: Sequence[str], **_: Any
    ) -> list[float]:
        """One reward for each completion, in order."""
        found = [self._answer(ids) for ids in completion_ids]
        verdicts = self._runner.run(self._grade(reference, found))
        return [float(verdict is True) for verdict in verdicts]

    def _answer(self, ids: Sequence[int]) -> str | None:
        text = self._tokenizer.decode(ids)
        is_finished = bool(ids) and ids[-1] in self._ends
        find = extract if is_finished else boxed
        return find(text, thinking=self._thinking)

    async def _grade(
        self, references: Sequence[str], found: Sequence[str | None]
    ) -> list[bool | None]:
        pairs = zip(references, found, strict=True)
        graded = [self._grader.grade(reference, [answer]) for reference, answer in pairs]
        return [verdict for (verdict,) in await asyncio.gather(*graded)]


def cycle(config: GrpoConfig) -> int:
    """Steps from one round of generation to the next; what lies between cannot be resumed."""
    return config.steps_per_generation * config.iterations


def steps_of(config: GrpoConfig, problems: int) -> int:
    """Steps of the optimizer: `max_steps`, or as many as the epochs have.

    The last problems of an epoch that do not fill a round are left out of it. Raises UsageError
    where there are too few problems for a single round.
    """
    a_round = config.problems_per_step * config.steps_per_generation
    if problems < a_round:
        raise UsageError(
            f"{problems} problems do not fill one round of generation of {a_round} "
            "(problems_per_step x steps_per_generation)"
        )
    return config.max_steps or config.epochs * (problems // a_round) * cycle(config)


def problem_order(config: GrpoConfig, problems: int, steps: int) -> list[int]:
    """Which problem is attempted when, over the whole training: each epoch in its own order.

    Laid out beforehand as one long pass. TRL's own sampler draws the order of an epoch from a
    generator that a resumed training would begin anew.
    """
    a_round = config.problems_per_step * config.steps_per_generation
    wanted = -(-steps // cycle(config)) * a_round
    order: list[int] = []
    epoch = 0
    while len(order) < wanted:
        own = random.Random(f"{config.seed}/{epoch}").sample(range(problems), problems)
        order += own[: problems // a_round * a_round]
        epoch += 1
    return order[:wanted]


def trl_settings(config: GrpoConfig) -> dict[str, Any]:
    """The settings of TRL's GRPOConfig that make the objective what it is."""
    completions = config.problems_per_step * config.group_size
    return {
        "per_device_train_batch_size": completions // config.accumulate,
        "gradient_accumulation_steps": config.accumulate,
        # TRL counts batches, of which `accumulate` make a step.
        "steps_per_generation": config.steps_per_generation * config.accumulate,
        "num_iterations": config.iterations,
        "num_generations": config.group_size,
        "max_completion_length": config.max_completion_length,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": 0,
        "beta": config.beta,
        "epsilon": config.epsilon,
        "epsilon_high": config.epsilon_high,
        "delta": None,
        "loss_type": config.loss_type,
        "importance_sampling_level": "token",
        "scale_rewards": config.scale_rewards,
        "multi_objective_aggregation": "sum_then_normalize",
        "use_bias_correction_kl": False,
        "sync_ref_model": False,
        "mask_truncated_completions": False,
        "top_entropy_quantile": 1.0,
        "disable_dropout": True,
        "shuffle_dataset": False,  # see `problem_order`
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        "chat_template_kwargs": dict(config.prompt.template_kwargs) or None,
        "use_vllm": config.use_vllm,
        "vllm_mode": "colocate",
    }


def make_trainer(
    config: GrpoConfig,
    folder: OutputFolder,
    *,
    model: Any,
    tokenizer: Any,
    reward: Any,
    items: Sequence[Item],
    steps: int,
) -> Any:
    """TRL's trainer with our optimizer, learning rates and reward."""
    import datasets

    with warnings.catch_warnings():
        # Which vLLM it would like is of no interest where vLLM is not used, and else an error.
        warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
        trl: Any = importlib.import_module("trl")
        trainer_class, config_class = trl.GRPOTrainer, trl.GRPOConfig

    class Trainer(trainer_class):  # type: ignore[misc, valid-type]
        """TRL is imported when it is needed, and not before."""

        optimizer: Any
        lr_scheduler: Any

        def create_optimizer(self, model: Any = None) -> Any:
            if self.optimizer is None:
                self.optimizer = make_optimizer(model or self.model, config)
            return self.optimizer

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                factors = [1.0] * num_training_steps
                self.lr_scheduler = make_scheduler(optimizer or self.optimizer, config, factors)
                self._created_lr_scheduler = True
            return self.lr_scheduler

    problems = datasets.Dataset.from_list([_row(config, item) for item in items])
    settings = {**arguments(config, folder, steps), **trl_settings(config)}
    return Trainer(
        model=model,
        reward_funcs=[reward],
        args=config_class(**settings),
        train_dataset=problems.select(problem_order(config, len(items), steps)),
        processing_class=tokenizer,
    )


def _row(config: GrpoConfig, item: Item) -> dict[str, Any]:
    """A problem as TRL wants it: turns, to which it applies the chat template, or a text."""
    text = config.prompt.text(item.problem)
    if not config.prompt.chat:
        return {"prompt": text, "reference": item.reference}
    turns = [{"role": "user", "content": text}]
    if config.prompt.system is not None:
        turns.insert(0, {"role": "system", "content": config.prompt.system})
    return {"prompt": turns, "reference": item.reference}


def _check(config: GrpoConfig) -> None:
    """Refuse what cannot be done, before anything is loaded."""
    if not isinstance(config.model, str):
        raise ModelError("model: GRPO needs a trained policy, a folder or hub id")
    if config.prompt.prefill:
        raise UsageError("prompt.prefill: GRPO cannot begin the policy's turn")
    completions = config.problems_per_step * config.group_size
    if completions % config.accumulate:
        raise UsageError(
            f"accumulate: {completions} completions of a step (problems_per_step x group_size) "
            f"do not divide into {config.accumulate} batches"
        )
    if config.save_every and config.save_every % cycle(config):
        raise UsageError(
            f"save_every: {config.save_every} is no multiple of {cycle(config)} "
            "(steps_per_generation x iterations): only whole rounds of generation can be resumed"
        )


def _describe(loaded: LoadedDataset) -> dict[str, Any]:
    return {
        "dataset": loaded.name,
        "source": loaded.source,
        "revision": loaded.revision,
        "sha256": loaded.content_hash,
        "problems": len(loaded),
    }
