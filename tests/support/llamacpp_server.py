"""A real llama.cpp server of SmolLM2-135M-Instruct on this machine, started and stopped by tests.

    python tests/support/llamacpp_server.py MODEL.gguf PORT SLOTS CONTEXT

serves until it is killed.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from server_process import ServerProcess

CONTEXT = 512
"""Tokens that each slot holds."""


@dataclass
class LlamaCppServer(ServerProcess):
    """llama.cpp's own HTTP server with `slots` completions at once."""

    weights: Path
    """Its GGUF file."""
    slots: int = 4

    def command(self) -> list[str]:
        words = [self.weights, self.port, self.slots, CONTEXT]
        return [sys.executable, str(Path(__file__)), *map(str, words)]


def serve(weights: str, port: int, slots: int, context: int) -> None:
    """Load the model and answer until the process ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    server = xllamacpp.Server(params)
    assert server.listening_address == f"http://127.0.0.1:{port}"
    threading.Event().wait()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:5]))
