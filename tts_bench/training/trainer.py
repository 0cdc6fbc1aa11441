"""The loop that every training shares: transformers' Trainer over a plan of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader

from tts_bench.errors import ModelError, StoreError
from tts_bench.training.callbacks import LOG, CsvLog, Show, StopWhenAsked
from tts_bench.training.config import DataConfig, TrainingConfig
from tts_bench.training.data import BatchPlan, Example, stages_of
from tts_bench.training.folder import OutputFolder
from tts_bench.training.optimizers import make_optimizer, make_scheduler

library: Any = transformers  # not all of it is typed

Batch = dict[str, Tensor]
Loss = Callable[[Any, Batch, Tensor], Tensor]
"""Model, batch and the number of labels in the step -> its share of the step's loss."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training, or one session of it, ended."""

    finished: bool
    """False if it was interrupted; then it can be resumed."""
    step: int
    steps: int
    loss: float | None
    """The last one that was logged."""


class PlannedTrainer(transformers.Trainer):
    """A Trainer that follows a BatchPlan: its batches, its learning rates, our loss."""

    def __init__(self, plan: BatchPlan, config: DataConfig, loss: Loss, **settings: Any) -> None:
        super().__init__(**settings)
        self._plan, self._config, self._loss = plan, config, loss
        self.model_accepts_loss_kwargs = True  # the loss is divided by the labels of the step

    def get_train_dataloader(self) -> Any:
        """The batches in the plan's order."""
        examples: Any = self.train_dataset
        loader: Any = DataLoader(
            examples,
            batch_sampler=[list(batch) for batch in self._plan.batches],
            collate_fn=self.data_collator,
            pin_memory=self.args.device.type == "cuda",
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: Any = None) -> Any:
        """The optimizer of the configuration."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(model or self.model, self._config)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate by step."""
        if self.lr_scheduler is None:
            base = self._config.learning_rate
            rates = [stage.learning_rate or base for stage in stages_of(self._config)]
            factors = [rates[stage] / base for stage in self._plan.stage_of_step]
            owner = optimizer or self.optimizer
            assert owner is not None
            self.lr_scheduler = make_scheduler(owner, self._config, factors)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: Any) -> Tensor:
        # Ours count every label: what is predicted from where is settled by the collator.
        count = torch.stack([batch["count"] for batch in batch_samples]).sum().to(device)
        if self.args.world_size > 1:
            count = self.accelerator.gather(count).sum()
        return count

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The configuration's loss over all labels of the step."""
        assert isinstance(num_items_in_batch, Tensor)
        # Gradients of several processes are averaged; each has its share of one sum.
        return self._loss(model, inputs, num_items_in_batch) * self.args.world_size

    def floating_point_ops(self, inputs: Batch) -> int:
        """Zero: an estimate that nobody reads, at the price of a walk over all parameters."""
        return 0


def fit(
    config: DataConfig,
    *,
    folder: OutputFolder,
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    plan: BatchPlan,
    collate: Callable[[list[Example]], Batch],
    loss: Loss,
) -> TrainingOutcome:
    """Train, from the last checkpoint of the folder if there is one, and save the model."""
    with StopWhenAsked() as stop:
        trainer = PlannedTrainer(
            plan,
            config,
            loss,
            model=model,
            args=library.TrainingArguments(
                **arguments(config, folder, plan.steps),
                gradient_accumulation_steps=config.accumulate,
                remove_unused_columns=False,
            ),
            train_dataset=examples,
            data_collator=collate,
            processing_class=tokenizer,
            callbacks=[CsvLog(folder.path / LOG), stop],
        )
        return run(trainer, config, folder)


def arguments(config: TrainingConfig, folder: OutputFolder, steps: int) -> dict[str, Any]:
    """Settings of transformers' TrainingArguments that all trainings have."""
    report = config.report_to
    return {
        "output_dir": str(folder.checkpoints),
        "seed": config.seed,
        "data_seed": config.seed,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "max_steps": steps,
        "logging_steps": min(config.log_every, steps),
        "save_strategy": "steps",
        "save_steps": config.save_every or steps,
        "save_total_limit": config.keep_checkpoints,
        "report_to": {"auto": "all"}.get(report, report)
        if isinstance(report, str)
        else list(report),
        "bf16": config.precision == "bfloat16",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(),
    }


def run(trainer: Any, config: TrainingConfig, folder: OutputFolder) -> TrainingOutcome:
    """Run a trainer to its end or an interruption, then save; notes in the manifest which.

    Raises StoreError if the disk is full and ModelError where the loss is no longer finite;
    the last whole checkpoint stays.
    """
    trainer.remove_callback(library.PrinterCallback)
    show = Show()
    trainer.add_callback(show)
    folder.remove_torn()
    checkpoint = folder.last_checkpoint()
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        outcome = _outcome(trainer)
        if outcome.finished:
            save(trainer.model, trainer.processing_class, config, folder.path)
    except BaseException as error:
        folder.remove_torn()
        folder.end("failed", error=str(error) or type(error).__name__)
        if _is_about_the_disk(error):
            raise StoreError(f"{folder.path}: {error}{_how_to_go_on(folder)}") from error
        raise
    finally:
        show.close()
    status = "finished" if outcome.finished else "interrupted"
    folder.end(status, steps=outcome.step, final=dict(_last_logs(trainer)))
    return outcome


def save(model: Any, tokenizer: Any, config: TrainingConfig, path: Path) -> None:
    """Write model and tokenizer so that transformers and vLLM load them."""
    model = model.to(getattr(torch, config.dtype))
    model.config.use_cache = True
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def _outcome(trainer: Any) -> TrainingOutcome:
    state = trainer.state
    loss = _last_logs(trainer).get("loss")
    if loss is not None and not torch.isfinite(torch.tensor(loss)):
        raise ModelError(f"the loss is {loss} at step {state.global_step}: lower learning_rate")
    finished = state.global_step >= state.max_steps
    return TrainingOutcome(finished, state.global_step, state.max_steps, loss)


def _last_logs(trainer: Any) -> Mapping[str, Any]:
    logs = (one for one in reversed(trainer.state.log_history) if "train_runtime" not in one)
    return next(logs, {})


def _is_about_the_disk(error: BaseException) -> bool:
    # torch and safetensors wrap the system's error in classes of their own.
    return isinstance(error, OSError) or "No space left" in str(error) or "Errno 28" in str(error)


def _how_to_go_on(folder: OutputFolder) -> str:
    last = folder.last_checkpoint()
    return f"; --resume goes on from {last.name}" if last else ""
