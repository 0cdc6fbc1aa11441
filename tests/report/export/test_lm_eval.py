"""A real small run, read by pandas, by datasets, and in the form of lm-eval's sample logs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tts_bench.store.runs import RunStore, resolve_run

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 3},
    "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    "prompt": {"template": "Please. {problem}"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "seeds": [0, 1],
    "strategies": ["greedy", {"strategy": "self_consistency", "n": [1, 4]}],
}


@pytest.fixture(scope="module")
def run(cli, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    folder = tmp_path_factory.mktemp("exports")
    (folder / "s.yaml").write_text(yaml.safe_dump(SUITE))
    done = cli("run", folder / "s.yaml", "--output-path", folder / "results")
    assert done.returncode == 0, done.stderr
    return resolve_run(folder / "results" / "s")


def test_pandas_reads_attempts_and_measurements(run: RunStore):
    attempts = pd.read_json(run.attempts_path, lines=True)
    assert len(attempts) == 3 * 2 * 2
    assert set(attempts.seed) == {0, 1}
    voted = attempts[attempts.cell.str.startswith("self_consistency")]
    assert all(len(pool["answer"]) == 4 for pool in voted.pool)
    assert attempts.correct.dtype == bool
    measurements = pd.read_json(run.measurements_path, lines=True)
    keys = ["cell", "problem", "seed"]
    assert len(attempts.merge(measurements, on=keys)) == len(attempts)
    assert all(one["seconds"] >= 0 for one in measurements.measurement)


def test_datasets_reads_the_candidates_offline(run: RunStore, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    rows = load_dataset(
        "parquet",
        data_files=str(run.folder / "candidates.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert len(rows) == 3 * 2 * (1 + 4)
    chosen = rows.filter(lambda row: row["chosen"])
    right = {(one.cell, one.problem, one.seed): one.correct for one in run.attempts()}
    for row in chosen:
        assert row["correct"] == right[row["cell"], row["problem"], row["seed"]]
        assert row["text"].startswith(("It is", "I do not know"))


@pytest.fixture(scope="module")
def samples(cli, run: RunStore) -> dict[str, list[dict]]:
    assert cli("export", run.folder, "--format", "lm-eval").returncode == 0
    files = sorted((run.folder / "lm-eval").glob("samples_*.jsonl"))
    return {
        file.name: [json.loads(line) for line in file.read_text().splitlines()] for file in files
    }


def test_each_cell_and_seed_is_a_file_named_as_the_harness_names_it(run, samples):
    started = run.read_manifest().started.rstrip("Z").replace(":", "-")
    assert list(samples) == [
        f"samples_s-greedy-seed0_{started}.jsonl",
        f"samples_s-greedy-seed1_{started}.jsonl",
        f"samples_s-self_consistency-n=4-seed0_{started}.jsonl",
        f"samples_s-self_consistency-n=4-seed1_{started}.jsonl",
    ]
    for rows in samples.values():
        assert [row["doc_id"] for row in rows] == [0, 1, 2]


def test_a_sample_has_the_fields_of_the_harness(run, samples):
    name = next(name for name in samples if "self_consistency" in name)
    problems = run.read_manifest().problems
    by_key = {one.key: one for one in run.attempts()}
    for row in samples[name]:
        # As lm_eval's evaluator logs them (EvaluationTracker.save_results_samples).
        fields = "doc_id doc target arguments resps filtered_resps filter metrics"
        assert set(fields.split()) | {"doc_hash", "prompt_hash", "target_hash"} <= set(row)
        problem = problems[row["doc_id"]]
        attempt = by_key["self_consistency?n=4", problem.id, 0]
        assert row["doc"]["problem"] == problem.text
        assert row["target"] == problem.reference
        prompt = row["arguments"]["gen_args_0"]["arg_0"]
        assert prompt == f"Please. {problem.text}"
        assert row["prompt_hash"] == hashlib.sha256(prompt.encode()).hexdigest()
        assert row["arguments"]["gen_args_0"]["arg_1"]["temperature"] == 0.8
        [texts] = row["resps"]
        assert len(texts) == 4
        assert all(text.startswith(("It is", "I do not know")) for text in texts)
        assert row["filtered_resps"] == [attempt.answer]
        assert row["metrics"] == ["exact_match", "pass@n"]
        assert row["exact_match"] == float(attempt.correct)
        assert row["pass@n"] == float(any(attempt.pool.correct))


def test_the_samples_load_as_a_data_set_and_their_mean_is_the_accuracy(run, samples, tmp_path):
    everything = [row for rows in samples.values() for row in rows]
    mean = sum(row["exact_match"] for row in everything) / len(everything)
    attempts = list(run.attempts())
    assert mean == sum(one.correct for one in attempts) / len(attempts)
    frames = [pd.read_json(path, lines=True) for path in (run.folder / "lm-eval").glob("*.jsonl")]
    assert sum(map(len, frames)) == len(attempts)


def test_a_run_whose_texts_are_gone_is_not_exported(cli, make):
    cell = make.cell("self_consistency", [2], "majority")
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "2"]))
    made = make.run([cell], [attempt], resolved={}, started="2026-01-01T00:00:00Z")
    code, _, err = cli("export", made.folder, "--format", "lm-eval")
    assert code == 2
    assert "no generation store there" in err
