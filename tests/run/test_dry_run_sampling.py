"""The dry run and the log of a run say how tokens are drawn, and what of it was recommended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

TINY = Path(__file__).resolve().parents[2] / "tts_bench" / "tiny" / "policy"


def test_the_dry_run_the_log_and_the_manifest_say_what_the_model_recommends(tmp_path: Path, cli):
    model = shutil.copytree(TINY, tmp_path / "model")
    makers = {"temperature": 0.6, "top_k": 20, "min_p": 0.01}
    (model / "generation_config.json").write_text(json.dumps(makers))
    path = tmp_path / "s.yaml"
    suite = {
        "dataset": {"name": "arithmetic", "problems": 1},
        "engine": {"name": "transformers", "model": str(model), "threads": 1},
        "sampling": {"recommended": True, "max_tokens": 4, "top_k": 0},
        "strategies": [{"strategy": "self_consistency", "n": 2}],
    }
    path.write_text(yaml.safe_dump(suite))
    taken = f"temperature=0.6, min_p=0.01 (as {model} recommends)"
    dry = cli("run", path, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    line = f"sampling  temperature=0.6, min_p=0.01, max_tokens=4, top_k=0; {taken}"
    assert line in dry.stdout.splitlines()
    done = cli("run", path, "--output-path", tmp_path / "r", "--display", "plain")
    assert done.returncode == 0, done.stderr
    assert f"sampling: {taken}" in done.stdout + done.stderr
    [manifest] = (tmp_path / "r" / "s").glob("*Z_*/manifest.json")
    found = json.loads(manifest.read_text())
    assert found["cells"][0]["sampling"]["min_p"] == 0.01
    settings = {"temperature": 0.6, "min_p": 0.01, "max_tokens": 4, "top_k": 0}
    assert found["resolved"]["sampling"] == settings
