"""The embedded engine: a model of transformers in a thread of this process.

Runs on CPU, CUDA and MPS. Requests are batched continuously: they join and leave between two
tokens. Each draws from its own seed, so that what it gets does not depend on its batch.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tts_bench.engine.base import FURTHER, Completion, Engine, EngineInfo, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.weights import (
    check_model_exists,
    load_error,
    local_path,
    model_revision,
    model_shape,
)
from tts_bench.errors import EngineError, ModelError
from tts_bench.types import Count, Threads, Word

if TYPE_CHECKING:
    from tts_bench.engine.batch import Batch
    from tts_bench.engine.worker import Worker

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVIATION = {"float32": 0.02, "float16": 0.2, "bfloat16": 0.2}
"""Total variation distance up to which decoding counts as the model's own (see Decoder)."""


@dataclass(frozen=True, slots=True)
class LoadedTransformer:
    """Facts that are known after the model is in memory."""

    info: EngineInfo
    tokenizer: Tokenizer
    vocabulary: int


@dataclass(frozen=True)
class TransformersEngine(Engine):
    """Any causal model with full or sliding attention that transformers can load."""

    speed_only: ClassVar[frozenset[str]] = frozenset({"max_batch_size", "threads"})

    draws_with: ClassVar[frozenset[str]] = FURTHER

    model: Word
    """Hub id or folder."""
    revision: str | None = None
    dtype: str = "auto"
    """`auto` is float32 on the CPU, and what the weights are stored in elsewhere."""
    device: str = "auto"
    """`auto` takes cuda, else mps, else cpu."""
    max_batch_size: Count = 64
    """Rows that are decoded together; the rest waits."""
    max_model_len: Count | None = None
    """Longest prompt plus completion, in tokens; by default what the model was made for."""
    threads: Threads | None = None
    """Threads of torch; by default torch's own choice."""
    trust_remote_code: bool = False

    async def start(self) -> EngineInfo:
        """Load the model. Raises ModelError in one line where that fails."""
        self._check_settings()
        try:
            # Importing torch and transformers takes seconds; the event loop stays free.
            worker = await asyncio.to_thread(lambda: self._worker)
            worker.start()
            # Loading cannot be interrupted: where this call is cancelled, `close` waits for it.
            loaded = await asyncio.shield(asyncio.wrap_future(worker.loaded))
        except Exception as error:
            self.__dict__.pop("_worker", None)
            raise load_error(self.model, error) from error
        return loaded.info

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        return self._loaded.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The callers' copy. Raises EngineError if the engine is not started."""
        return self._loaded.tokenizer

    async def close(self) -> None:
        """Free the model; requests still in flight fail with EngineError."""
        worker: Worker[LoadedTransformer] | None = self.__dict__.pop("_worker", None)
        if worker is not None:
            await worker.close()

    async def generate(self, request: Request) -> Completion:
        """Draw one completion; cancelling the call frees the row."""
        from tts_bench.engine.past import bad_word_ids

        bad_word_ids(request.sampling.bad_words, self.tokenizer)  # raises for one that is none
        loaded = self._loaded
        request.check(loaded.info.max_model_len, loaded.vocabulary)
        return await asyncio.wrap_future(self._worker.submit(request))

    @functools.cached_property
    def _worker(self) -> Worker[LoadedTransformer]:
        """The running state; a cached property is no field, so settings stay settings."""
        from tts_bench.engine.worker import Worker

        return Worker(self._load, self.max_batch_size)

    @property
    def _loaded(self) -> LoadedTransformer:
        worker: Worker[LoadedTransformer] | None = self.__dict__.get("_worker")
        if worker is None or not worker.loaded.done():
            raise EngineError("the engine is not started")
        return worker.loaded.result()

    def _check_settings(self) -> None:
        check_model_exists(self.model)
        if self.dtype not in DTYPES:
            raise ModelError(f"dtype {self.dtype!r} is none of {', '.join(DTYPES)}")
        for name in ("max_batch_size", "max_model_len", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ModelError(f"{name} is {value}; it must be at least 1")
        if "_worker" in self.__dict__:
            raise EngineError("the engine is started already")

    def _load(self) -> tuple[Batch, LoadedTransformer]:
        """Everything that runs before the first request; called in the worker's thread."""
        import torch
        import transformers

        from tts_bench.engine.batch import Batch
        from tts_bench.engine.decode import Decoder

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        source = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        place = local_path(self.model)
        # Two tokenizers: one for this thread, one for the callers; a fast tokenizer refuses to be
        # used from two threads at once.
        own, callers = (
            HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(place, **source))
            for _ in range(2)
        )
        device = pick_device(self.device)
        dtype = "float32" if self.dtype == "auto" and device == "cpu" else self.dtype
        model = load_weights(place, dtype=dtype, **source).to(device).eval()
        text_config = model.config.get_text_config(decoder=True)
        max_model_len = self._longest(getattr(text_config, "max_position_embeddings", None))
        shape, note = model_shape(model.config.to_dict())
        info = EngineInfo(
            engine=f"transformers {transformers.__version__}",
            model=self.model,
            revision=model_revision(self.model, self.revision),
            dtype=str(model.dtype).removeprefix("torch."),
            max_model_len=max_model_len,
            shape=shape,
            shape_note=note,
        )
        decoder = self._checked(Decoder, model, info.dtype)
        ends = own.end_ids(model.generation_config, model.config, text_config)
        vocabulary = model.get_input_embeddings().num_embeddings
        batch = Batch(decoder, own, ends, max_model_len)
        return batch, LoadedTransformer(info, callers, vocabulary)

    def _checked(self, decoder_class: Any, model: Any, dtype: str) -> Any:
        """The decoder, once it is seen to compute what the model's own forward pass does."""
        import torch

        refusal = f"{self.model} ({type(model).__name__}) cannot be decoded by this engine"
        try:
            with torch.inference_mode():
                decoder = decoder_class(model)
                deviation = decoder.deviation()
        except (TypeError, ValueError, AttributeError, LookupError, NotImplementedError) as error:
            raise ModelError(f"{refusal}; use engine vllm ({error})") from error
        if not deviation <= DEVIATION.get(dtype, 0.2):
            raise ModelError(
                f"{refusal}: its attention or its cache is of another kind, or its weights are"
                f" damaged (outputs deviate by {deviation:.2g}); use engine vllm"
            )
        return decoder

    def _longest(self, positions: int | None) -> int:
        if self.max_model_len is None:
            if positions is None:
                raise ModelError(
                    f"{self.model} does not say how long a text may be: set max_model_len"
                )
            return positions
        if positions is not None and self.max_model_len > positions:
            raise ModelError(
                f"max_model_len is {self.max_model_len}, but {self.model} was made for"
                f" {positions} tokens"
            )
        return self.max_model_len


def pick_device(device: str) -> str:
    """`auto` resolved; raises ModelError where the device is not there."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} is not available") from error
    return device


def load_weights(model: str, **options: Any) -> Any:
    """The causal model on the CPU, without progress bars on the terminal."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(model, **options)
    finally:
        if shown:
            logging.enable_progress_bar()
