"""report.html without a browser: what is in it, and that nothing in it is markup but its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tts_bench.dataset.base import Item
from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.report.build import build_report
from tts_bench.report.export.candidates import write_candidates
from tts_bench.report.page import assets
from tts_bench.report.page.assets import read_assets
from tts_bench.report.page.overview import embed
from tts_bench.report.page.write import write_page
from tts_bench.store.generations import GenerationStore
from tts_bench.store.manifest import ProblemEntry
from tts_bench.store.runs import RunStore
from tts_bench.types import Problem, SearchTree

HOSTILE = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "--> <!-- <script>",
    "<!--<script>",
    "]]> <svg onload=window.ran=1>",
    "[link](javascript:window.ran=1) $\\href{javascript:window.ran=1}{x}$",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; \u2028\u2029\x00",
]


class Outline(HTMLParser):
    """The elements of a page, the texts of its scripts and styles, and its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles: list[str] = []
        self._open: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._open = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "style":
            self.styles.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        if self._open == "style":
            self.styles[-1] += data

    def json(self, name: str) -> Any:
        return json.loads(next(text for attrs, text in self.scripts if attrs.get("id") == name))

    def chunk(self, number: int) -> Any:
        name = f"chunk-{number}"
        packed = next(text for attrs, text in self.scripts if attrs.get("id") == name)
        return json.loads(zlib.decompress(base64.b64decode(packed)))


def page_of(run: RunStore, **options: Any) -> Outline:
    path = run.folder / "report.html"
    write_page(run, build_report(run), path, **options)
    return Outline(path.read_text("utf-8"))


def store_texts(run: RunStore, texts: dict[str, str]) -> None:
    async def fill() -> None:
        async with GenerationStore(run.folder.parent / "generations.sqlite") as store:
            for key, text in texts.items():
                await store.put(key, Completion((1,), text, -1.0, "stop"))

    asyncio.run(fill())


@pytest.fixture
def scored(make) -> RunStore:
    """Two strategies that chose from one pool of three scored candidates."""
    pool = make.pool(
        ["1", "2", None],
        generation=("a", "b", "c"),
        score=(0.9, 0.1, 0.4),
        steps=((0.9, 0.9), (0.9, 0.1), ()),
        finish_reason=("stop", "stop", "length"),
    )
    cells = [make.cell("best_of_n", [1, 3], "best"), make.cell("weighted_vote", [3], "weighted")]
    attempts = [make.attempt(cell["id"], "p", pool) for cell in cells]
    run = make.run(cells, attempts)
    store_texts(run, {"a": "so\n\n$x$", "b": "no\n\nyes", "c": ""})
    return run


def test_candidates_are_there_with_each_text_once(scored):
    detail = page_of(scored).chunk(0)
    assert detail["texts"] == [["so\n\n", "$x$"], ["no\n\n", "yes"], [""]]
    first, second = detail["attempts"]
    assert (first["cell"], second["cell"], first["chosen"], first["correct"]) == (0, 1, 0, True)
    assert first["pool"] == second["pool"]
    pool = first["pool"]
    assert pool["text"] == [0, 1, 2]
    assert pool["answer"] == ["1", "2", None]
    assert pool["correct"] == [True, False, False]
    assert pool["truncated"] == [False, False, True]
    assert pool["score"] == [0.9, 0.1, 0.4]


def test_the_first_error_is_the_first_steep_fall_of_scores_that_are_shares(make):
    steps = ((0.9, 0.9), (0.9, 0.1), (0.1,), (-3.0, -9.0), ())
    pool = make.pool(["1"] * 5, score=(0.5,) * 5, steps=steps)
    run = make.run(
        [make.cell("best_of_n", [5], "best")], [make.attempt("best_of_n?n=5", "p", pool)]
    )
    assert page_of(run).chunk(0)["attempts"][0]["pool"]["first_error"] == [-1, 1, 0, -1, -1]


def test_steps_end_where_the_verifier_of_the_run_takes_them_to_end(make):
    pool = make.pool(["1"], generation=("a",), score=(0.5,), steps=((0.4, 0.5),))
    verifier = {"name": "prm", "recipe": 'TRLPRM {"delimiter": "\\n"}', "shape": None}
    attempts = [make.attempt("best_of_n?n=1", "p", pool)]
    run = make.run([make.cell("best_of_n", [1], "best")], attempts, verifier=verifier)
    store_texts(run, {"a": "one\ntwo"})
    assert page_of(run).chunk(0)["texts"] == [["one\n", "two"]]


def test_the_texts_of_a_search_are_those_of_its_tree(make):
    tree = SearchTree((None, None, 0), (1, 1, 2), ("a ", "b", "c"), (0.1234567891, 0.2, 0.3))
    pool = make.pool(["1"], node=(2,), generation=("k",))
    attempt = make.attempt("beam_search?n=1", "p", pool, tree=tree)
    run = make.run([{**make.cell("beam_search"), "id": "beam_search?n=1"}], [attempt])
    [found] = page_of(run).chunk(0)["attempts"]
    assert found["pool"]["node"] == [2]
    assert found["pool"]["text"] == [None]
    assert found["tree"] == {
        "parent": [None, None, 0],
        "step": [1, 1, 2],
        "score": [0.123457, 0.2, 0.3],
        "text": ["a ", "b", "c"],
    }


def test_a_problem_has_counts_for_the_filters_added_over_seeds(make):
    cut = make.pool(["1", "2"], finish_reason=("length", "length"), correct=(None, False))
    attempts = [
        make.attempt("greedy", "p", make.pool(["1"]), seed=0),
        make.attempt("greedy", "p", cut, seed=1),
        make.attempt("greedy", "q", seed=0, status="error", correct=True),
    ]
    run = make.run([make.cell("greedy"), make.cell("other")], attempts, seeds=[0, 1])
    first, second = page_of(run).json("overview")["problems"]
    assert first["counts"] == [[2, 1, 3, 1, 2, 1], None]
    assert second["counts"] == [[1, 0, 0, 0, 0, 0], None]


def test_a_majority_vote_is_worked_out_where_no_strategy_voted(make):
    pool = make.pool(["1", "1", "2"], score=(0.1, 0.2, 0.3))
    best = make.cell("best_of_n", [1, 3], "best")
    run = make.run([best], [make.attempt(best["id"], "p", pool)])
    [votes] = page_of(run).json("overview")["votes"]
    # Of one draw two thirds are right; of two, tied pairs go to the first drawn; of three, all.
    assert [round(value, 9) for value, _, _ in votes] == [round(2 / 3, 9), round(2 / 3, 9), 1.0]


def test_a_vote_that_was_run_is_not_worked_out_again(make):
    run = make.realistic(problems=4, sweep=(1, 4))
    assert page_of(run).json("overview")["votes"] == [None]


def test_problems_come_with_the_text_that_the_manifest_has(make):
    row = ProblemEntry.of(Item(Problem("p", "How many?", 3), "42")).recorded()
    attempts = [make.attempt("greedy", name, make.pool(["1"])) for name in ("p", "old")]
    run = make.run([make.cell("greedy")], attempts, problems=[row, {"id": "old", "level": None}])
    new, old = page_of(run).json("overview")["problems"]
    assert (new["text"], new["reference"], new["level"]) == ("How many?", "42", 3)
    assert (old["text"], old["reference"], old["subject"]) == (None, None, None)


def test_texts_beyond_the_limit_are_left_out_and_named(make):
    attempts = [
        make.attempt("greedy", name, make.pool(["1"], generation=(name,))) for name in "pqr"
    ]
    run = make.run([make.cell("greedy")], attempts)
    # Nothing to compress in the middle one: it alone is beyond the limit.
    noise = base64.b85encode(hashlib.shake_256(b"").digest(20_000)).decode()
    store_texts(run, {"p": "short", "q": noise, "r": "short again"})
    page = page_of(run, text_limit=5_000)
    assert page.json("omissions") == {"texts": True, "problems": [1]}
    assert [len(page.chunk(number)["texts"]) for number in range(3)] == [1, 0, 1]
    assert page.chunk(1)["attempts"][0]["pool"]["answer"] == ["1"]


def test_a_run_without_its_store_has_a_page_without_texts(make):
    page = page_of(make.realistic(problems=3, sweep=(1, 2)))
    assert page.json("omissions") == {"texts": False, "problems": []}
    assert page.chunk(2)["texts"] == []


def test_a_run_copied_without_its_store_has_the_texts_of_its_table(scored):
    store = scored.folder.parent / "generations.sqlite"
    assert write_candidates(scored)
    before = page_of(scored).chunk(0)
    store.unlink()
    page = page_of(scored)
    assert page.json("omissions") == {"texts": True, "problems": []}
    assert page.chunk(0) == before
    (scored.folder / "candidates.parquet").write_bytes(b"torn")
    with pytest.raises(StoreError, match=r"candidates\.parquet"):
        page_of(scored)


def test_embedded_json_cannot_end_its_element():
    for text in HOSTILE:
        embedded = embed({"text": text})
        assert not re.search("[<>&\u2028\u2029]", embedded)
        assert json.loads(embedded) == {"text": text}


def hostile_run(make, words: list[str]) -> RunStore:
    """A run in which every text that comes from outside is one of these."""
    keys = tuple(f"k{i}" for i in range(len(words)))
    pool = make.pool(words, generation=keys, score=(0.5,) * len(words))
    cells = [
        make.cell("best_of_n", [len(words)], "best"),
        {**make.cell("beam_search", hint=words[0]), "id": words[1]},
    ]
    size = len(words)
    tree = SearchTree((None,) * size, (1,) * size, tuple(words), (0.5,) * size)
    problems = [
        {"id": word, "level": 1, "subject": word, "text": word, "reference": word} for word in words
    ]
    attempts = [
        attempt
        for word in words
        for attempt in (
            make.attempt(cells[0]["id"], word, pool, error=word),
            make.attempt(
                cells[1]["id"], word, make.pool([word], node=(0,)), tree=tree, facts={word: 1.0}
            ),
        )
    ]
    run = make.run(cells, attempts, problems=problems, suite=words[2], verifier={"name": words[2]})
    store_texts(run, dict(zip(keys, words, strict=True)))
    return run


def test_hostile_texts_add_no_element_and_no_attribute(make, tmp_path: Path):
    hostile = page_of(hostile_run(make, HOSTILE))
    make.folder = tmp_path / "plain"
    plain = page_of(hostile_run(make, [f"word {i}" for i in range(len(HOSTILE))]))
    assert hostile.tags == plain.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]
    assert hostile.chunk(0)["texts"][:2] == [[HOSTILE[0]], [HOSTILE[1]]]
    assert [row["text"] for row in hostile.json("overview")["problems"]] == HOSTILE


def test_only_the_page_s_own_scripts_and_styles_are_allowed_and_nothing_is_fetched(scored):
    page = page_of(scored)
    policy = next(value for _, value in page.attributes if (value or "").startswith("default-src"))
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    code = [text for attrs, text in page.scripts if "type" not in attrs]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [sha256(text) for text in code]
    assert rules["style-src"].split() == [sha256(text) for text in page.styles]
    assert rules["img-src"] == rules["font-src"] == "data:"
    links = [value or "" for name, value in page.attributes if name in ("src", "href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    urls = re.findall(r"url\(([^)]{0,30})", page.styles[0])
    assert urls
    assert all(url.startswith("data:font/woff2;base64,") for url in urls)


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_own_scripts_never_parse_markup():
    own = read_assets().scripts[-1]
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "href"):
        assert way not in own


def test_vendored_files_are_small_and_say_where_they_are_from():
    folder = Path(assets.__file__).parent / "vendor"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2.5e6
    readme = (folder / "README.md").read_text("utf-8")
    versions = [re.search(r"v?(\d+\.\d+\.\d+)", script) for script in read_assets().scripts[:1]]
    assert all(found and found[1] in readme for found in versions)
    assert {path.name for path in files} >= {"chart.LICENSE.md", "katex.LICENSE"}


def test_a_page_that_cannot_be_written_is_one_clear_error(scored):
    (scored.folder / "report.html").mkdir()
    with pytest.raises(StoreError, match=r"report\.html"):
        page_of(scored)
    assert not list(scored.folder.glob(".report*"))
