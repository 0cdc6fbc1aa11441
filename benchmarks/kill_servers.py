"""Not a timing: one of two vLLM servers is killed again and again while a run draws from both.

    python benchmarks/kill_servers.py [--kills 20] [--problems 20] [--seed 0]

A suite of many strategies on the tiny models is run once undisturbed, and then again and again with
`kill -9` of one of the two servers, engine and all, at a random moment; the server is started anew
beside the run. Each run must end well, with the very attempts of the first one. At last both are
killed: the run must stop with one line, and the same command must go on once they are back.

Prints what happened as JSON; exits 1 if anything was lost or another attempt was made.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from server_process import serving  # noqa: E402
from vllm_servers import TINY, VLLMServer  # noqa: E402

STRATEGIES = """
  - greedy
  - {strategy: best_of_n, n: 8}
  - {strategy: self_consistency, n: 8}
  - {strategy: beam_search, n: 4}
  - {strategy: rebase, n: 4}
  - {strategy: particle_filter, n: 4}
  - {strategy: mcts, n: 4}
"""
SUITE = """
name: kills
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: server, model: {model}, base_url: {urls}, patience: {patience}, restarts: 0}}
sampling: {{max_tokens: 160, temperature: 1.0}}
verifier: confidence
strategies: {strategies}
"""


@dataclass(frozen=True)
class Ran:
    """One run: how it ended, what it said, how long it took."""

    code: int
    said: str
    seconds: float


def run(suite: Path, output: Path, beside: threading.Thread | None = None) -> Ran:
    """`tts-bench run` as a process, with something that goes on beside it."""
    words = [sys.executable, "-m", "tts_bench", "run", str(suite), "-o", str(output)]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*words, "--display", "none"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if beside is not None:
        beside.start()
    _, said = process.communicate()
    return Ran(process.returncode, said.strip(), time.perf_counter() - began)


def attempts(output: Path) -> list[str]:
    """The attempts in order, as lines; without what the store calls them and the clock says."""
    from tts_bench.store.runs import resolve_run

    rows = []
    for line in resolve_run(output / "kills").attempts_path.read_text().splitlines():
        row = json.loads(line)
        for name in ("seconds", "wall_seconds"):
            row.pop(name, None)
        rows.append(json.dumps(row, sort_keys=True))
    return sorted(rows)


class Killer(threading.Thread):
    """Kills one server of two at random moments of a run, and starts it anew each time."""

    def __init__(self, servers: Sequence[VLLMServer], output: Path, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.servers, self.output, self.rng = servers, output, rng
        self.kills: list[float] = []
        """Seconds after the first attempt."""
        self.ended = threading.Event()

    def run(self) -> None:
        """Wait for the first attempt, and kill until the run ends."""
        while not self.ended.wait(0.05) and not made(self.output):
            pass
        began = time.perf_counter()
        while not self.ended.wait(self.rng.uniform(0.0, 2.0)):
            victim = self.rng.choice(self.servers)
            victim.kill()
            self.kills.append(round(time.perf_counter() - began, 2))
            victim.launch()
            victim.wait()


def made(output: Path) -> int:
    """Attempts that are written so far."""
    return sum(path.read_bytes().count(b"\n") for path in output.glob("kills/*/attempts.jsonl"))


def write_suite(folder: Path, servers: Sequence[VLLMServer], problems: int, patience: int) -> Path:
    """The suite on these servers."""
    path = folder / f"patience-{patience}.yaml"
    urls = json.dumps([server.url for server in servers])
    path.write_text(
        SUITE.format(
            problems=problems, model=TINY, urls=urls, patience=patience, strategies=STRATEGIES
        )
    )
    return path


def kill_one(folder: Path, servers: Sequence[VLLMServer], arguments: Any) -> dict[str, Any]:
    """Runs with kills, until there were enough of them."""
    suite = write_suite(folder, servers, arguments.problems, 120)
    first = run(suite, folder / "first")
    expected, rng = attempts(folder / "first"), random.Random(arguments.seed)
    found: list[dict[str, Any]] = []
    while sum(len(one["kills_at_second"]) for one in found) < arguments.kills:
        output = folder / f"run-{len(found)}"
        killer = Killer(servers, output, rng)
        ran = run(suite, output, killer)
        killer.ended.set()
        killer.join()
        found.append(
            {
                "kills_at_second": killer.kills,
                "seconds": round(ran.seconds, 1),
                "exit": ran.code,
                "same_attempts": attempts(output) == expected,
                "said": ran.said,
            }
        )
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return {
        "undisturbed": {"exit": first.code, "seconds": round(first.seconds, 1)},
        "attempts": len(expected),
        "kills": sum(len(one["kills_at_second"]) for one in found),
        "runs": found,
        "well": all(one["same_attempts"] and one["exit"] == 0 for one in found),
    }


def kill_both(folder: Path, servers: Sequence[VLLMServer], arguments: Any) -> dict[str, Any]:
    """Both are killed, and the same command goes on when they are back."""
    suite, output = write_suite(folder, servers, arguments.problems, 3), folder / "both"

    def end() -> None:
        while not made(output):
            time.sleep(0.05)
        for server in servers:
            server.kill()

    stopped = run(suite, output, threading.Thread(target=end))
    before = made(output)
    for server in servers:
        server.launch()
    for server in servers:
        server.wait()
    again = run(suite, output)
    same = attempts(output) == attempts(folder / "first")
    return {
        "exit": stopped.code,
        "said": stopped.said,
        "attempts_before": before,
        "exit_of_the_same_command": again.code,
        "same_attempts": same,
        "well": stopped.code == 1 and again.code == 0 and same,
    }


def main() -> None:
    """Parse, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    servers = VLLMServer(), VLLMServer()
    with tempfile.TemporaryDirectory() as folder, serving(*servers):
        one = kill_one(Path(folder), servers, arguments)
        both = kill_both(Path(folder), servers, arguments)
    print(json.dumps({"one_of_two": one, "both": both}, indent=2))
    sys.exit(0 if one["well"] and both["well"] else 1)


if __name__ == "__main__":
    main()
