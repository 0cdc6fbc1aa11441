from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tts_bench
from tts_bench.engine.weights import (
    MIB,
    check_model_exists,
    folder_fingerprint,
    is_out_of_memory,
    load_error,
    local_path,
    model_revision,
    model_shape,
)
from tts_bench.errors import ModelError

PACKAGE = Path(tts_bench.__file__).parent


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model_dir, copy)
    return copy


def test_a_copy_of_a_model_has_its_fingerprint(tiny_model_dir: Path, folder: Path) -> None:
    assert model_revision(str(folder), None) == model_revision(str(tiny_model_dir), None)
    (folder / ".hidden").write_text("x")
    (folder / "README.md").write_text("x")
    assert folder_fingerprint(folder) == folder_fingerprint(tiny_model_dir)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_configuration_and_tokenizer_decide_the_fingerprint(folder: Path, name: str) -> None:
    before = folder_fingerprint(folder)
    (folder / name).write_text((folder / name).read_text() + " ")
    assert folder_fingerprint(folder) != before


@pytest.mark.parametrize("place", [0, MIB - 1, 2 * MIB + 5, 3 * MIB - 1])
def test_both_ends_of_the_weights_decide_the_fingerprint(tmp_path: Path, place: int) -> None:
    weights = bytearray(3 * MIB)
    (tmp_path / "model.safetensors").write_bytes(weights)
    before = folder_fingerprint(tmp_path)
    weights[place] = 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert folder_fingerprint(tmp_path) != before


def test_a_shorter_weight_file_has_another_fingerprint(tmp_path: Path) -> None:
    seen = set()
    for size in (0, 1, MIB, MIB + 1, 2 * MIB, 3 * MIB):
        (tmp_path / "model.safetensors").write_bytes(bytes(size))
        seen.add(folder_fingerprint(tmp_path))
    assert len(seen) == 6


def test_the_revision_of_a_hub_model_is_its_snapshots_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--some--model"
    (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "snapshots" / commit / "config.json").write_text("{}")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert model_revision("some/model", None) == commit
    assert model_revision("some/model", commit) == commit
    with pytest.raises(ModelError, match="not in the hub's cache"):
        model_revision("some/model", "v2")


@pytest.mark.parametrize("model", ["./nowhere", "/no/such/folder", "a/b/c", "~/model", ".", ""])
def test_a_path_without_a_model_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError):
        check_model_exists(model)


def test_hub_ids_and_model_folders_pass(tiny_model_dir: Path) -> None:
    for model in ("Qwen/Qwen2.5-0.5B-Instruct", "gpt2", str(tiny_model_dir)):
        check_model_exists(model)


def test_a_file_of_weights_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file"):
        check_model_exists(str(tmp_path / "m.gguf"))


def test_an_unknown_architecture_has_no_shape_but_a_reason() -> None:
    shape, note = model_shape({"model_type": "no_such_model"})
    assert shape is None
    assert note


def test_the_telling_cause_of_a_wrapped_error_is_named() -> None:
    class GatedRepoError(OSError):
        pass

    error = OSError("You are trying to access a gated repo.\nMake sure ...")
    error.__cause__ = GatedRepoError("401")
    assert str(load_error("org/name", error)).startswith("org/name is gated")


def test_an_unknown_error_is_its_first_line() -> None:
    assert str(load_error("m", ValueError("\n first \n second"))) == "cannot load m: first"
    assert str(load_error("m", KeyError())) == "cannot load m: KeyError"


def test_out_of_memory_is_recognised() -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    text = "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"
    assert is_out_of_memory(OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(RuntimeError(text))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_misspelt_folder_is_answered_with_its_neighbour(tmp_path, monkeypatch):
    (tmp_path / "models" / "SmolLM2-135M").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("models/SmolLM-135M", "./models/SmolLM-135M"):
        with pytest.raises(ModelError, match=r"no model folder at .* Did you mean 'SmolLM2-135M'"):
            check_model_exists(name)
    check_model_exists("someone/SmolLM-135M")  # no such folder here: a hub id


def test_shipped_models_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "tts_bench/tiny/policy"
    assert Path(local_path(name)) == PACKAGE / "tiny" / "policy"
    assert local_path("org/model") == "org/model"
    (tmp_path / name).mkdir(parents=True)  # a folder of the user's own comes first
    assert local_path(name) == name


def test_a_misspelt_shipped_model_is_told_its_neighbour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no model folder at tts_bench/tiny/polcy"):
        check_model_exists("tts_bench/tiny/polcy")
