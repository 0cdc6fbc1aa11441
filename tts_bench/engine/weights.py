"""A model's files: whether they exist, their version, and the shape that they state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_bench.cost.flops import ModelShape, UnknownShape
from tts_bench.cost.shapes import shape_from_config
from tts_bench.errors import ModelError, did_you_mean

WEIGHT_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf"})
TEXT_SUFFIXES = frozenset({".json", ".jinja", ".txt", ".model", ".py"})
MIB = 1 << 20
_PACKAGE = Path(__file__).resolve().parents[1]


def local_path(model: str) -> str:
    """Where libraries load `model` from: its own name, or a folder of this package.

    The models that are shipped with the package lie in `tts_bench/tiny`; that name holds from
    any folder, and not only from a checkout.
    """
    shipped = _PACKAGE.parent / model
    inside = model.startswith(f"{_PACKAGE.name}/") and not Path(model).is_dir()
    return str(shipped) if inside else model


def check_model_exists(model: str) -> None:
    """Raise ModelError if `model` is a local path without a model in it.

    A name with at most one slash, whose first part is no local folder, is taken as a hub id and
    passes.
    """
    path = Path(local_path(model))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{model} is not a model folder: it has no config.json")
    elif path.exists():
        raise ModelError(f"{model} is a file; give the folder that holds config.json and weights")
    elif _looks_local(model):
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = did_you_mean(path.name, [other.name for other in beside])
        raise ModelError(f"no model folder at {model}{hint}")
    elif not model.strip("/"):
        raise ModelError("no model is named: give a hub id or a folder")


def _looks_local(model: str) -> bool:
    if model.startswith((".", "~", "/")) or "\\" in model or model.count("/") > 1:
        return True
    first, slash, _ = model.partition("/")
    return bool(slash) and Path(first).is_dir()


def model_revision(model: str, revision: str | None) -> str:
    """Which version of `model` is on this machine.

    For a hub id the commit of the cached snapshot that `revision` names; for a local folder
    `sha256:` and a fingerprint of its files (see `folder_fingerprint`). Raises ModelError if
    the hub model is not in the cache.
    """
    if Path(local_path(model)).is_dir():
        return f"sha256:{folder_fingerprint(Path(local_path(model)))}"
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, "config.json", revision=revision)
    if not isinstance(cached, str):
        raise ModelError(f"{model} is not in the hub's cache on this machine")
    return Path(cached).parent.name


def generation_config(model: str, revision: str | None = None) -> dict[str, Any]:
    """What a model's generation_config.json says, from its folder or the Hub.

    Raises ModelError if it has none, or it cannot be had.
    """
    name = "generation_config.json"
    path = Path(local_path(model)) / name
    if not path.parent.is_dir():
        from huggingface_hub import hf_hub_download

        check_model_exists(model)
        try:
            path = Path(hf_hub_download(model, name, revision=revision))
        except Exception as error:
            raise ModelError(f"{model}: its {name} cannot be had: {first_line(error)}") from error
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{model} has no {name} that can be read") from error
    return found if isinstance(found, dict) else {}


def is_stored(model: str, revision: str | None = None) -> bool:
    """Whether a model's config is on this machine, as a folder or in the hub's cache."""
    return _stored_folder(model, revision) is not None


def weight_bytes(model: str, revision: str | None = None) -> int | None:
    """Bytes of a model's weights as they are stored; None if they are not on this machine."""
    folder = _stored_folder(model, revision)
    if folder is None:
        return None
    sizes: dict[str, int] = {}
    for path in folder.iterdir():
        if path.suffix in WEIGHT_SUFFIXES:
            sizes[path.suffix] = sizes.get(path.suffix, 0) + path.stat().st_size
    # A model that is stored in two formats is loaded from one of them.
    return sizes.get(".safetensors") or max(sizes.values(), default=None)


def stored_shape(model: str, revision: str | None = None) -> ModelShape | None:
    """Shape by the config.json on this machine; None if there is none, or it is not known."""
    folder = _stored_folder(model, revision)
    path = folder / "config.json" if folder else None
    if path is None or not path.is_file():
        return None
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None  # the loader says what is wrong with it
    return model_shape(config)[0] if isinstance(config, dict) else None


def _stored_folder(model: str, revision: str | None) -> Path | None:
    """Where a model lies on this machine, as a folder or in the hub's cache."""
    folder = Path(local_path(model))
    if folder.is_dir():
        return folder
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, "config.json", revision=revision)
    except ValueError:  # no name that the hub could have
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 (hex) of a model folder, quick for any size of weights.

    Configuration and tokenizer files count with their content; weight files with name, size
    and their first and last MiB. Hidden files and subfolders do not count.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix in WEIGHT_SUFFIXES:
            parts = _ends(path)
        elif path.suffix in TEXT_SUFFIXES:
            parts = iter([path.read_bytes()])
        else:
            continue
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for part in parts:
            digest.update(part)
    return digest.hexdigest()


def model_shape(config: Mapping[str, Any]) -> tuple[ModelShape | None, str]:
    """The shape that FLOPs are counted with, or None and why it is unknown.

    `config` is the content of the model's config.json.
    """
    try:
        return shape_from_config(config), ""
    except UnknownShape as error:
        return None, str(error)


def load_error(model: str, error: BaseException) -> ModelError:
    """One line that says why `model` could not be loaded, from what a library raised."""
    if isinstance(error, ModelError):
        return error
    known = next(filter(None, (_known_cause(model, cause) for cause in _causes(error))), None)
    return ModelError(known or f"cannot load {model}: {first_line(error)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is torch's, or the system's, way to say that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("allocate memory" in text or "out of mem" in text)


def is_device_lost(error: BaseException) -> bool:
    """Whether `error` is torch's way to say that the device serves this process no more."""
    lost = type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
    return lost and not is_out_of_memory(error)


def first_line(error: BaseException) -> str:
    """The first line of the message that is not empty, or the name of the error's class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def _known_cause(model: str, error: BaseException) -> str | None:
    name, text = type(error).__name__, str(error)
    if is_out_of_memory(error):
        return f"{model} does not fit in memory: {first_line(error)}"
    if name == "GatedRepoError":
        return f"{model} is gated: accept its terms on the hub and log in (hf auth login)"
    if name == "RepositoryNotFoundError" or name == "HFValidationError":
        return f"{model} is neither a folder here nor a model on the hub (or it is private)"
    if name == "RevisionNotFoundError":
        return f"{model} has no such revision on the hub"
    if name in {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError"}:
        return f"{model} is not in the hub's cache, and the hub cannot be reached"
    if name == "SafetensorError":
        return f"{model} has damaged weights: {first_line(error)}"
    if "model type" in text and "does not recognize" in text:
        return f"{model}: {first_line(error)}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the root first: libraries wrap the telling one."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return reversed(chain)


def _ends(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield file.read(MIB)
        size = path.stat().st_size
        if size > MIB:
            file.seek(max(MIB, size - MIB))
            yield file.read(MIB)
