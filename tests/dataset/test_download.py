from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tts_bench.dataset.hub import Gsm8k, HubDataset, KnownDataset, Math500

OLD, NEW = "1" * 40, Math500.source.revision

LOADER = """
import json, sys
from tts_bench.dataset import hub
from tts_bench.errors import DatasetError
for name, settings in json.load(sys.stdin):
    try:
        loaded = getattr(hub, name)(**settings).load()
        answer = [loaded.source, loaded.revision, loaded.content_hash,
                  [[i.problem.id, i.problem.text, i.problem.level, i.reference] for i in loaded]]
    except DatasetError as error:
        answer = str(error)
    print(json.dumps(answer))
"""
"""Runs apart from the tests: `datasets` reads its cache folder and endpoint once, at import."""


@dataclass(frozen=True)
class Loads:
    """What loading gave: the data set as [source, commit, hash, items], or a message."""

    online: dict[str, object]
    offline: dict[str, object]
    again: dict[str, object]
    """Online once more, with a filled cache."""
    asked: tuple[str, ...]
    """What the hub was asked for then."""


JOBS: dict[str, tuple[str, dict[str, object]]] = {
    "pinned": ("Math500", {}),
    "configured": ("Gsm8k", {}),
    "floating": ("HubDataset", {"id": "org/set"}),
    "at a commit": ("HubDataset", {"id": "org/set", "revision": OLD}),
    "mapped": (
        "HubDataset",
        {"id": "org/odd", "split": "train", "columns": {"problem": "q", "reference": "a"}},
    ),
    "unmapped": ("HubDataset", {"id": "org/odd", "split": "train"}),
    "unknown id": ("HubDataset", {"id": "org/nothing"}),
    "gated id": ("HubDataset", {"id": "org/closed"}),
    "unknown revision": ("HubDataset", {"id": "org/set", "revision": "v9"}),
    "unknown split": ("HubDataset", {"id": "org/set", "split": "tests"}),
    "unknown config": ("HubDataset", {"id": "openai/gsm8k", "config": "mian"}),
    "missing config": ("HubDataset", {"id": "openai/gsm8k"}),
    "only commit": ("HubDataset", {"id": "org/moved", "revision": OLD}),
    "another commit": ("HubDataset", {"id": "org/moved", "revision": NEW}),
    "part of a split": ("HubDataset", {"id": "org/set", "split": "test[:1]"}),
}


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def math_row(number: int, level: int = 3) -> dict[str, object]:
    return {
        "problem": f"What is {number} + 1?",
        "solution": "",
        "answer": str(number + 1),
        "subject": "Algebra",
        "level": level,
        "unique_id": f"test/algebra/{number}.json",
    }


def load_all(home: Path, endpoint: str) -> dict[str, object]:
    environment = {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", LOADER],
        input=json.dumps(list(JOBS.values())),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Retry" not in done.stderr
    return dict(zip(JOBS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.fixture(scope="module")
def loads(fake_hub, tmp_path_factory: pytest.TempPathFactory) -> Loads:
    card = b"---\nlicense: mit\n---\n"
    fake_hub.repositories["HuggingFaceH4/MATH-500"] = {
        NEW: {"README.md": card, "test.jsonl": lines(math_row(1), math_row(2, level=5))}
    }
    configs = b"---\nconfigs:\n" + b"".join(
        b"- config_name: %s\n  data_files:\n  - split: test\n    path: %s/test.jsonl\n" % (c, c)
        for c in (b"main", b"socratic")
    )
    row: dict[str, object] = {"question": "How many?", "answer": "Many.\n#### 1,024"}
    fake_hub.repositories["openai/gsm8k"] = {
        Gsm8k.source.revision: {
            "README.md": configs + b"---\n",
            "main/test.jsonl": lines(row),
            "socratic/test.jsonl": lines(row, row),
        }
    }
    fake_hub.repositories["org/set"] = {
        OLD: {"README.md": card, "test.jsonl": lines({"problem": "2 + 2", "answer": 5.0})},
        NEW: {
            "README.md": card,
            "test.jsonl": lines({"problem": "2 + 2", "answer": 4}, {"problem": "3", "answer": 3}),
        },
    }
    fake_hub.repositories["org/odd"] = {
        NEW: {"README.md": card, "train.jsonl": lines({"q": "1 + 1", "a": "2"})}
    }
    fake_hub.repositories["org/moved"] = {
        OLD: {"README.md": card, "test.jsonl": lines({"problem": "2 + 2", "answer": 4})}
    }
    fake_hub.gated.add("org/closed")
    home = tmp_path_factory.mktemp("hf_home")
    with fake_hub.serve() as endpoint:
        online = load_all(home, endpoint)
        before = len(fake_hub.asked)
        again = load_all(home, endpoint)
        asked = tuple(fake_hub.asked[before:])
    return Loads(online, load_all(home, "http://127.0.0.1:9"), again, asked)


def test_known_set_is_loaded_at_its_pinned_commit(loads: Loads) -> None:
    source, commit, _, items = loads.online["pinned"]
    assert (source, commit) == ("HuggingFaceH4/MATH-500", NEW)
    assert items == [
        ["test/algebra/1.json", "What is 1 + 1?", 3, "2"],
        ["test/algebra/2.json", "What is 2 + 1?", 5, "3"],
    ]


def test_known_set_names_its_config_and_cleans_its_references(loads: Loads) -> None:
    _, commit, _, items = loads.online["configured"]
    assert commit == Gsm8k.source.revision
    assert [item[1:] for item in items] == [["How many?", None, "1024"]]


def test_newest_commit_is_found_and_recorded_where_none_is_given(loads: Loads) -> None:
    assert loads.online["floating"][1] == NEW
    assert loads.online["at a commit"][1] == OLD
    assert loads.online["at a commit"][3][0][3] == "5"


def test_columns_of_any_set_can_be_mapped(loads: Loads) -> None:
    assert loads.online["mapped"][3][0][1:] == ["1 + 1", None, "2"]
    assert loads.online["unmapped"] == (
        "org/odd: no column 'problem' or 'question' or 'prompt' for the problem; there are 'q', "
        "'a'; name it: columns: {problem: NAME}"
    )


def test_part_of_a_split_can_be_asked_for(loads: Loads) -> None:
    assert len(loads.online["part of a split"][3]) == 1


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("unknown id", "no data set 'org/nothing' on the Hugging Face Hub, or it is private"),
        (
            "gated id",
            "org/closed is gated: accept its terms at "
            "https://huggingface.co/datasets/org/closed, then log in with `hf auth login`",
        ),
        ("unknown revision", "org/set: no revision 'v9'"),
        ("unknown split", "org/set: no split 'tests', only test. Did you mean 'test'?"),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_one_line(
    loads: Loads, job: str, message: str
) -> None:
    assert loads.online[job] == message


@pytest.mark.parametrize("job", ["unknown config", "missing config"])
def test_wrong_config_is_said_in_one_line_with_those_that_exist(loads: Loads, job: str) -> None:
    message = loads.online[job]
    assert message.startswith("openai/gsm8k: ")
    assert "main" in message
    assert "socratic" in message
    assert "\n" not in message


def test_filled_cache_gives_the_same_data_offline(loads: Loads) -> None:
    for job in ("pinned", "configured", "mapped"):
        assert loads.offline[job] == loads.online[job]


def test_a_pinned_commit_that_is_in_the_cache_is_read_without_asking_the_hub(loads: Loads) -> None:
    for job in ("pinned", "configured", "only commit"):
        assert loads.again[job] == loads.online[job]
    assert not [path for path in loads.asked if "MATH-500" in path]
    assert not [path for path in loads.asked if "org/moved" in path and OLD in path]
    assert [path for path in loads.asked if "org/odd" in path]  # which is not pinned


def test_a_filled_cache_changes_no_answer(loads: Loads) -> None:
    assert loads.again == loads.online


def test_offline_cache_with_another_commit_than_the_pinned_one_is_refused(loads: Loads) -> None:
    assert loads.online["only commit"][1] == OLD
    assert loads.offline["another commit"] == (
        f"org/moved: the hub cannot be reached, and the cache holds commit {OLD}, "
        f"not the pinned {NEW}. Set `revision: {OLD}` to use it"
    )


@pytest.mark.parametrize("job", ["unknown id", "gated id"])
def test_unreachable_hub_is_said_with_a_way_out(loads: Loads, job: str) -> None:
    name = JOBS[job][1]["id"]
    assert loads.offline[job] == (
        f"{name}: the Hugging Face Hub cannot be reached and the data set is not in the cache. "
        "Read a local copy with `path:`, or fill the cache (HF_HOME) online"
    )


def test_local_folder_in_the_layout_of_the_hub_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    table = datasets.Dataset.from_list([math_row(n) for n in range(3)])
    table.to_parquet(folder / "test.parquet")
    loaded = HubDataset(str(folder)).load()
    assert loaded.revision == ""
    assert [item.problem.id for item in loaded] == [f"test/algebra/{n}.json" for n in range(3)]


def test_every_known_set_is_pinned_to_a_full_commit() -> None:
    revisions = [known.source.revision for known in KnownDataset.__subclasses__()]
    assert len(revisions) == 5
    assert all(len(r) == 40 and set(r) <= set("0123456789abcdef") for r in revisions)
