"""report.html in a headless Chromium: what a reader sees, and that nothing a model wrote runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tts_bench.engine.base import Completion
from tts_bench.report.build import build_report
from tts_bench.report.page.write import write_page
from tts_bench.store.generations import GenerationStore
from tts_bench.store.runs import RunStore
from tts_bench.types import SearchTree

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_BROWSER = (
    "no chromium: install Debian's package `chromium`, or run `playwright install chromium`, "
    "or name one by the environment variable CHROMIUM"
)
# No sandbox: containers run tests as root. The rest keeps it from asking the network for news.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # ms: machines that run tests are often busy
HOSTILE = [
    "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "--> <iframe srcdoc='<script>parent.ran = 1</script>'>",
    "<a href='javascript:window.ran=1'>click</a>",
    "$\\href{javascript:window.ran=1}{x}$ and $\\includegraphics{http://example.org/x.png}$",
    "$\\htmlStyle{background:url(http://example.org)}{x}$ $\\def\\a{\\a\\a}\\a$ $\\frac{1$",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip(NO_BROWSER)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def noise() -> list[str]:
    """Errors, dialogs and requests of the pages that a test has visited."""
    return []


@pytest.fixture
def visit(browser, noise: list[str]):
    """Opens a run's page; whatever it logs as an error or asks the network for fails the test."""
    contexts = []

    def visit(run: RunStore, address: str = "", **options: Any) -> Any:
        path = run.folder / "report.html"
        write_page(run, build_report(run), path)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("console", lambda line: noise.append(line.text) if line.type == "error" else None)
        page.on("dialog", lambda dialog: noise.append(f"dialog {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                noise.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        page.goto(path.as_uri() + address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert noise == []


def store_texts(run: RunStore, texts: dict[str, str]) -> None:
    async def fill() -> None:
        async with GenerationStore(run.folder.parent / "generations.sqlite") as store:
            for key, text in texts.items():
                await store.put(key, Completion((1,), text, -1.0, "stop"))

    # Playwright keeps an event loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(fill())).result()


def open_all(page: Any) -> None:
    """Open every fold of the problem shown, level by level."""
    closed = page.locator("#detail details:not([open]) > summary")
    for _ in range(200):
        if not closed.count():
            return
        closed.first.click()
    raise AssertionError("folds without end")


def select(page: Any, label: str) -> Any:
    return page.get_by_role("combobox", name=re.compile(f"^{label}"))


def wait_for(page: Any, selector: str, number: int) -> Any:
    """Folds are filled a moment after they open."""
    page.wait_for_function(
        "([selector, number]) => document.querySelectorAll(selector).length === number",
        arg=[selector, number],
    )
    return page.locator(selector)


def open_problem(page: Any, name: str) -> None:
    page.locator("#list button", has_text=name).first.click()
    page.wait_for_selector("#detail details.attempt")


@pytest.fixture
def run(make) -> RunStore:
    """Three problems: solved by both strategies, by one of them, and by none."""
    cells = [make.cell("greedy"), make.cell("best_of_n", [1, 3], "best")]
    pool = make.pool(
        ["1", "2", None],
        generation=("a", "b", "c"),
        score=(0.2, 0.9, 0.4),
        steps=((0.2,), (0.9, 0.1), (0.4,)),
        finish_reason=("stop", "stop", "length"),
        correct=(True, False, None),
    )
    problems = [
        {"id": name, "level": level, "subject": None, "text": text, "reference": "1"}
        for name, level, text in (
            ("easy", 1, "What is $\\frac{2}{2}$?"),
            ("split", 2, "One costs $3 and the other $5."),
            ("hard", 2, "Nothing \\(broken\\frac{\\) helps."),
        )
    ]
    right, wrong = make.pool(["1"]), make.pool(["2"])
    best = cells[1]["id"]
    attempts = [
        make.attempt("greedy", "easy", right),
        make.attempt(best, "easy", make.pool(["1"] * 3, score=(1.0,) * 3)),
        make.attempt("greedy", "split", right),
        make.attempt(best, "split", pool, chosen=1, answer="2", correct=False),
        make.attempt("greedy", "hard", wrong),
        make.attempt(best, "hard", make.pool(["2"] * 3, score=(1.0,) * 3)),
    ]
    run = make.run(cells, attempts, problems=problems)
    store_texts(run, {"a": "so $x^2$", "b": "First $y$.\n\nThen wrong.", "c": "cut"})
    return run


def names(page: Any) -> list[str]:
    return page.locator("#list .name").all_text_contents()


def test_problems_are_found_by_text_level_and_outcome(run, visit):
    page = visit(run)
    assert names(page) == ["easy", "split", "hard"]
    for outcome, expected in {
        "solved by all strategies": ["easy"],
        "solved by none": ["hard"],
        "strategies disagree": ["split"],
        "right candidate, wrong choice": ["split"],
    }.items():
        select(page, "Outcome").select_option(label=outcome)
        assert names(page) == expected
    select(page, "Strategy").select_option("0")
    select(page, "Outcome").select_option("wrong")
    assert names(page) == ["hard"]
    select(page, "Strategy").select_option("")
    select(page, "Outcome").select_option("any")
    select(page, "Level").select_option("2")
    assert names(page) == ["split", "hard"]
    page.get_by_label("only cut off").check()
    assert names(page) == ["split"]
    page.get_by_label("only cut off").uncheck()
    page.get_by_label("Search").fill("COSTS")
    wait_for(page, "#list .name", 1)
    assert names(page) == ["split"]


def test_candidates_are_marked_and_the_chosen_one_comes_first(run, visit):
    page = visit(run, "#problem=split")
    page.wait_for_selector("#detail details.attempt")
    page.locator("details.attempt", has_text="best_of_n").locator("summary").click()
    heads = wait_for(page, "details.candidate > summary", 3)
    chosen, first, last = heads.all_text_contents()
    assert "#1" in chosen
    assert "chosen" in chosen
    assert "wrong" in chosen
    assert "first error: step 2" in chosen
    assert "#0" in first
    assert "right" in first
    assert "not graded" in last
    assert "cut off" in last
    heads.first.click()
    steps = wait_for(page, "details.candidate[open] ol.steps > li", 2)
    assert "first error" in (steps.nth(1).text_content() or "")
    shades = [steps.nth(i).evaluate("one => getComputedStyle(one).borderLeftColor") for i in (0, 1)]
    assert shades[0] != shades[1]


def test_only_the_strategy_and_the_cut_off_candidates_asked_for_are_shown(run, visit):
    page = visit(run)
    select(page, "Strategy").select_option("1")
    page.get_by_label("only cut off").check()
    open_problem(page, "split")
    assert page.locator("details.attempt").count() == 1
    wait_for(page, "details.candidate", 1)
    assert "#2" in (page.locator("details.candidate").text_content() or "")


def test_formulas_are_typeset_money_is_not_and_broken_latex_stays_as_written(run, visit):
    page = visit(run)
    open_problem(page, "easy")
    page.wait_for_selector("#detail .question .katex .mfrac")
    open_problem(page, "split")
    assert page.locator(".question").text_content() == "One costs $3 and the other $5."
    open_problem(page, "hard")
    page.wait_for_selector(".question .broken")
    assert page.locator(".question").text_content() == "Nothing \\(broken\\frac{\\) helps."
    open_problem(page, "easy")
    page.wait_for_selector("#detail .question .katex")
    page.get_by_label("render LaTeX").uncheck()
    assert page.locator(".katex").count() == 0
    assert page.locator(".question").text_content() == "What is $\\frac{2}{2}$?"


def test_a_model_that_repeated_itself_does_not_hold_up_the_page(make, visit):
    loop = "\\[ " * 20_000 + "$x$ " * 2_000
    run = make.run([make.cell("greedy")], [make.attempt("greedy", "p", make.pool(["1"]))])
    manifest = run.read_manifest()
    row = {"id": "p", "level": None, "subject": None, "text": loop, "reference": "1"}
    run.write_manifest(manifest.changed(problems=[row]))
    page = visit(run)
    open_problem(page, "p")
    page.wait_for_selector("#detail .question .katex")
    assert page.locator("#detail .question .katex").count() < 1_000
    page.get_by_label("render LaTeX").uncheck()
    assert page.locator(".question").text_content() == loop


def test_a_search_tree_opens_along_the_path_to_the_chosen_candidate(make, visit):
    tree = SearchTree((None, None, 0, 0), (1, 1, 2, 2), ("go ", "stray", "on", "end"), (0.9,) * 4)
    pool = make.pool(["2", "1"], node=(2, 3), generation=("x", "y"))
    cell = {**make.cell("beam_search"), "id": "beam_search?n=2"}
    attempt = make.attempt(cell["id"], "p", pool, chosen=1, answer="1", correct=True, tree=tree)
    page = visit(make.run([cell], [attempt]))
    open_problem(page, "p")
    assert page.locator("details.search[open]").count() == 0
    page.locator("details.search > summary").click()
    assert "dropped" in wait_for(page, "details.node", 2).nth(1).inner_text()
    page.get_by_role("button", name="Open the chosen path").click()
    opened = wait_for(page, "details.node[open] > .step", 2)
    assert opened.all_text_contents() == ["go", "end"]
    page.locator("details.candidate.is-chosen > summary").click()
    steps = wait_for(page, "details.candidate.is-chosen ol.steps .prose", 2)
    assert steps.all_text_contents() == ["go", "end"]


def test_lines_are_hidden_rows_sorted_and_points_read_with_the_keyboard(run, visit):
    page = visit(run)
    shown = page.locator("#legend button[aria-pressed=true]")
    before = shown.count()
    page.locator("#legend button", has_text="best_of_n").click()
    assert shown.count() == before - 1
    page.locator("#results-table button", has_text="accuracy").click()
    first = page.locator("#results-table tbody tr").first.text_content() or ""
    assert first.startswith(("greedy", "pass@"))
    page.locator("#chart").focus()
    page.keyboard.press("ArrowRight")
    reading = page.locator("#chart-reading").text_content() or ""
    assert reading.startswith("greedy: 66.67 %  [")
    select(page, "against").select_option("n")
    page.get_by_label("log x").uncheck()


def test_the_theme_follows_the_system_until_it_is_chosen(run, visit):
    page = visit(run, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(colour) == "rgb(255, 255, 255)" != dark


def test_nothing_is_wider_than_a_telephone(run, visit):
    page = visit(run)
    page.set_viewport_size({"width": 400, "height": 800})
    open_problem(page, "split")
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.get_by_role("button", name="Back to the list").click()
    assert page.locator("#list").is_visible()


def test_nothing_that_a_model_wrote_runs(make, visit):
    keys = tuple(f"k{i}" for i in range(len(HOSTILE)))
    pool = make.pool(HOSTILE, generation=keys, score=(0.5,) * len(HOSTILE))
    size = len(HOSTILE)
    tree = SearchTree((None,) * size, (1,) * size, tuple(HOSTILE), (0.5,) * size)
    cells = [
        {**make.cell("best_of_n", [size], "best", hint=HOSTILE[2])},
        {**make.cell("beam_search"), "id": HOSTILE[1]},
        {**make.cell("beam_search"), "id": "other", "params": {"hint": HOSTILE[0]}},
    ]
    problems = [
        {"id": text, "level": 1, "subject": text, "text": text, "reference": text}
        for text in HOSTILE
    ]
    attempts = [
        attempt
        for text in HOSTILE
        for attempt in (
            make.attempt(cells[0]["id"], text, pool, error=text),
            make.attempt(
                cells[1]["id"], text, make.pool([text], node=(0,)), tree=tree, facts={text: 1.0}
            ),
            make.attempt("other", text, make.pool([text], generation=("k0",))),
        )
    ]
    run = make.run(cells, attempts, problems=problems, suite=HOSTILE[1], status="complete")
    store_texts(run, dict(zip(keys, HOSTILE, strict=True)))
    page = visit(run)
    foreign = "#detail a, #detail script, img, iframe, svg [onload], [onerror], [srcdoc]"
    for number in range(size):
        page.locator("#list li button").nth(number).click()
        page.wait_for_selector("#detail details.attempt")
        if number in (0, size - 1):
            open_all(page)
            page.locator("#detail .prose").last.scroll_into_view_if_needed()
        assert page.locator("#detail h3").text_content() == HOSTILE[number]
        assert page.locator(foreign).count() == 0
    page.wait_for_selector(".katex")
    assert page.evaluate("window.ran") is None


def test_a_script_that_were_to_get_in_would_be_stopped(run, visit, noise):
    page = visit(run)
    refused = page.evaluate(
        """() => new Promise((done) => {
          const tell = (event) => done(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", tell);
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.body.append(script);
          setTimeout(() => done("nothing"), 5000);
        })"""
    )
    assert refused == "script-src-elem"
    assert page.evaluate("window.ran") is None
    assert all("Content Security Policy" in line for line in noise)
    noise.clear()


def test_hundreds_of_candidates_are_built_as_they_come_into_view(make, visit):
    size = 300
    cell = make.cell("best_of_n", [size], "best")
    pool = make.pool(["1"] * size, score=(0.5,) * size)
    attempts = [make.attempt(cell["id"], f"p{i}", pool) for i in range(100)]
    page = visit(make.run([cell], attempts))
    assert 0 < page.locator("#list .name").count() < 100
    open_problem(page, "p0")
    candidates = page.locator("details.candidate")
    assert 0 < candidates.count() < size
    for _ in range(10):
        page.locator(".candidates .more").scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        if not page.locator(".candidates .more").count():
            break
    assert candidates.count() == size


REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference" / "quickstart"
SPELLED_WRONG = re.compile(r"\[object|undefined|\bNaN\b|\bnull\b")
"""What JavaScript writes for a thing that is no text."""


def kinds_of_runs(make, kind: str, folder: Path) -> RunStore:
    if kind == "published":
        shutil.copytree(REFERENCE, folder / "quickstart")
        return RunStore(folder / "quickstart")
    if kind == "realistic":
        return make.realistic(problems=12, sweep=(1, 4, 16))
    # Imported answers alone: no tokens, no FLOPs, no scores.
    cell = make.cell("self_consistency", [1, 4], "majority")
    pool = make.pool(["1", "2", "1", None])
    free = make.usage(0, (0,) * 4, known=False)
    return make.run(
        [cell], [make.attempt(cell["id"], f"p{i}", pool, policy=free) for i in range(4)]
    )


@pytest.mark.parametrize("kind", ["published", "realistic", "answers alone"])
def test_nothing_on_a_page_is_spelled_wrong(kind, make, visit, tmp_path):
    page = visit(kinds_of_runs(make, kind, tmp_path))
    page.locator("#list button").first.click()
    page.wait_for_selector("#detail details.attempt")
    open_all(page)
    said = page.locator("body").inner_text()
    assert SPELLED_WRONG.findall(said) == []
    assert len(said) > 500


def test_the_header_of_groups_names_each_group(make, visit):
    page = visit(make.realistic(problems=12, sweep=(1, 4)))
    heads = page.locator("#levels-tables table").first.locator("thead th").all_text_contents()
    assert heads == ["by level, % [95 %]", *(f"level {level}" for level in range(1, 6))]


def test_a_run_without_flops_and_tokens_has_its_curve_against_n(make, visit, tmp_path):
    page = visit(kinds_of_runs(make, "answers alone", tmp_path))
    assert select(page, "against").input_value() == "n"
    drawn = page.evaluate("Chart.getChart('chart').data.datasets.map((one) => one.data.length)")
    reason = page.locator("#curves-reason").inner_text()
    assert reason.startswith("Neither FLOPs nor tokens of this run are known")
    assert drawn == [2, 3]  # the vote at n = 1 and 4, and what bounds it at 1, 2 and 4


def test_dollars_are_a_column_and_an_axis_where_there_is_a_price(make, visit):
    price = {"engine": {"name": "scripted", "price": {"input": 2, "output": 10}}}
    page = visit(make.realistic(problems=4, sweep=(1, 4), resolved=price))
    assert page.locator("#results-table th button", has_text=re.compile(r"^\$$")).count() == 1
    assert re.search(r"\$0\.00\d+", page.locator("#results-table").inner_text())
    select(page, "against").select_option("dollars")
    assert select(page, "against").input_value() == "dollars"


def test_without_a_price_no_dollar_is_on_the_page(run, visit):
    page = visit(run)
    assert page.locator("#results-table th button", has_text=re.compile(r"^\$$")).count() == 0
    options = select(page, "against").locator("option").all_inner_texts()
    assert "tokens" in options
    assert "dollars" not in options
