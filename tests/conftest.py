"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Done, tts_bench
from llamacpp_server import LlamaCppServer
from ray_clusters import NO_RAY, RayNodes
from server_process import serving
from shared_vllm import SharedVLLM
from vllm_servers import VLLMServer

from tts_bench.engine.vllm import VLLMEngine

pytest_plugins = ["parts"]

# Before anything imports torch: workers share the cores, and products of one thread are the same
# to the bit in every process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama with random weights, which transformers and vLLM load in a moment."""
    script = ROOT / "benchmarks" / "tiny_model.py"
    make: Callable[[Path], None] = runpy.run_path(str(script))["make"]
    folder = tmp_path_factory.mktemp("tiny-model")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def shared_vllm(tiny_model_dir: Path) -> Iterator[SharedVLLM]:
    shared = SharedVLLM(tiny_model_dir)
    yield shared
    shared.close()


@pytest.fixture
def vllm_engine(shared_vllm: SharedVLLM) -> VLLMEngine:
    """A started vLLM engine on the tiny model, the same for every test that asks for it."""
    return shared_vllm.engine()


@pytest.fixture
def no_vllm_open(shared_vllm: SharedVLLM) -> None:
    """For tests of what the last engine of a process leaves: the shared one is not there."""
    shared_vllm.close()


@pytest.fixture(scope="session")
def vllm_servers() -> Iterator[tuple[VLLMServer, VLLMServer]]:
    """Two real vLLM servers of the tiny policy, for every test that kills none of them."""
    pair = VLLMServer(), VLLMServer()
    with serving(*pair):
        yield pair


@pytest.fixture(scope="session")
def llamacpp_server(smollm2_gguf: Path) -> Iterator[LlamaCppServer]:
    """A real llama.cpp server of SmolLM2-135M-Instruct, four completions at once."""
    server = LlamaCppServer(smollm2_gguf)
    with serving(server):
        yield server


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayNodes]:
    """A Ray cluster with two nodes for replicas; whoever kills one adds another."""
    pytest.importorskip("ray", reason=NO_RAY)
    nodes = RayNodes(2)
    yield nodes
    nodes.close()


@pytest.fixture(autouse=True)
def quick_starts_of_vllm(request: pytest.FixtureRequest) -> None:
    """vLLM collects all garbage five times at each start, half a million objects of its own.

    What is alive before a test is taken out of the collector's sight: starts take half the time.
    """
    if request.node.get_closest_marker("vllm"):
        gc.freeze()


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    """Runs `tts-bench WORDS...` in this process; returns exit code, output and errors."""
    return tts_bench


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets reports leave out their figures, which take more than half of a small run's time.

    For tests of what a run does and stores; what is drawn of it is tested in tests/report.
    """
    monkeypatch.setattr("tts_bench.report.build._FIGURES", {})
