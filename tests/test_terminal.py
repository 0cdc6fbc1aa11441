"""Nothing that a terminal would obey reaches it from data, names, models or mistakes."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.errors import printable
from tts_bench.progress import Progress

PACKAGE = Path(__file__).resolve().parents[1] / "tts_bench"
ESCAPES = "\x1b[31m\x07\x9b2J\x7f\u202e\u2066"
OBEYED = {chr(n) for n in (*range(32), *range(127, 160), *range(0x202A, 0x202F))} - {"\n", "\t"}
ENGINE = """
from dataclasses import dataclass
from tts_bench import *

def write(prompt, request):
    if "fail" in prompt:
        raise EngineError("\\x1b[31mno \\u202e\\x9b" + 500 * "y")
    return "It is \\\\boxed{\\x1b[31m\\u202e}."

@dataclass(frozen=True)
class Loud(Engine):
    model: str = "loud\\x1b[31m\\x9b"
    def __post_init__(self):
        object.__setattr__(self, "inner", ScriptedEngine(write, max_model_len=4096))
    async def start(self):
        return await self.inner.start()
    @property
    def tokenizer(self):
        return self.inner.tokenizer
    async def close(self): ...
    async def generate(self, request):
        return await self.inner.generate(request)
"""


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli):
    """Runs a command on data whose every id and text is loud; some attempts fail."""
    (tmp_path / "loud.py").write_text(ENGINE)
    rows = [
        {"id": f"{n}{ESCAPES}", "problem": f"{what} {ESCAPES}", "answer": "4"}
        for n, what in enumerate(["add", "fail", "add"])
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = {
        "description": f"loud {ESCAPES}",
        "dataset": {"name": "jsonl", "path": str(tmp_path / "rows.jsonl")},
        "engine": {"name": f"{tmp_path / 'loud.py'}:Loud"},
        "sampling": {"max_tokens": 64},
        "strategies": ["greedy"],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(suite))

    def bench(*words: object) -> Done:
        return cli(*words)

    return bench


def check(done: Done) -> None:
    text = (done.stdout + done.stderr).replace("\r", "")  # with which a bar draws itself anew
    assert not OBEYED & set(text), [one for one in text.splitlines() if OBEYED & set(one)]


def test_run_compare_and_ls_show_control_characters_and_do_not_obey(bench, tmp_path: Path):
    run = ["run", tmp_path / "s.yaml", "--output-path", tmp_path / "results"]
    done = bench(*run)
    assert done.returncode == 1, done.stderr
    check(done)
    assert r"EngineError: \u001b[31mno \u202e\u009by" in done.stderr
    [first] = [line for line in done.stderr.splitlines() if "the first: " in line]
    assert len(first) < 400
    for words in (run, [*run, "--debug", "--fresh"], [*run, "--display", "bar"]):
        check(bench(*words))
    a = tmp_path / "results" / "s" / "latest"
    for words in (
        ["compare", a, a, "--flips"],
        ["compare", a, a, "--json"],
        ["report", a],
        ["ls", "runs", "-o", tmp_path / "results"],
        ["check", a],
        ["validate", tmp_path / "s.yaml"],
    ):
        check(bench(*words))


@pytest.mark.parametrize(
    "words",
    [
        ["run", f"no{ESCAPES}.yaml"],
        ["run", "quickstart", "--set", f"engine.model={ESCAPES}"],
        ["run", "quickstart", "--set", f"{ESCAPES}=1"],
        ["run", "quickstart", "--strategy", ESCAPES],
        ["run", "quickstart", f"--{ESCAPES}"],
        ["run", "quickstart", "--concurrency", ESCAPES],
        [ESCAPES],
        ["compare", f"no{ESCAPES}", f"no{ESCAPES}"],
        ["report", f"no{ESCAPES}"],
        ["grade", f"no{ESCAPES}.jsonl", "--reference-field", "a", "--response-field", "b"],
        ["import", f"no{ESCAPES}.jsonl"],
        ["gate", f"no{ESCAPES}", "--baseline", "b", "--exact"],
        ["policy", f"no{ESCAPES}"],
    ],
    ids=lambda words: ascii(words[0])[:20],
)
def test_errors_show_control_characters_and_do_not_obey(cli, tmp_path: Path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert done.returncode == 2, done.stderr
    check(done)
    assert "Traceback" not in done.stderr


def test_a_pipe_that_nobody_reads_is_no_fault(tmp_path: Path):
    """As in `tts-bench ls strategies | head -1`: the work is done, and no error is said."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [sys.executable, "-m", "tts_bench", "ls", "strategies"]
    done = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_json_stays_what_it_was(cli, tmp_path: Path):
    """What is escaped within a string of JSON is escaped as JSON does it."""
    row = {"reference": "4", "response": "\\boxed{4\u202e\x9b\u2028}"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    fields = ["--reference-field", "reference", "--response-field", "response"]
    done = cli("grade", tmp_path / "rows.jsonl", *fields, "--json")
    check(done)
    first, *_ = done.stdout.splitlines()
    assert "\u202e" in json.loads(first)["extracted"]


@pytest.mark.parametrize("letter", ["\x00", "\r", "\x1b", "\x7f", "\x85", "\u2029", "\ud800"])
def test_what_a_terminal_obeys_is_written_out(letter: str):
    assert printable(f"a{letter}b") == f"a\\u{ord(letter):04x}b"


def test_other_text_stays_as_it_is():
    text = "tab\tline\n \N{GREEK SMALL LETTER ALPHA} \N{GRINNING FACE} \u200d"
    assert printable(text) == text


@pytest.mark.parametrize("display", ["plain", "bar"])
def test_progress_shows_control_characters_and_goes_on_without_a_terminal(display):
    stream = io.StringIO()
    Progress(display, stream).say("a\x1bb")
    assert stream.getvalue() == "a\\u001bb\n"

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    Progress(display, Gone()).say("nobody reads this")


def test_commands_print_through_one_function():
    for path in [*(PACKAGE / "commands").glob("*.py"), PACKAGE / "cli.py"]:
        if path.name == "echo.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "click.echo", "click.secho"), path
