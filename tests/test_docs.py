"""The documentation names every command and option, and nothing that is not there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tts_bench.cli import cli as tts_bench

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*/README.md"))]
CLI_PAGE = (ROOT / "docs" / "cli.md").read_text()
CODE = re.compile(r"```.*?\n(.*?)```", re.S)
INLINE = re.compile(r"`([^`]+)`")


def commands(
    command: click.Command, context: click.Context, *words: str
) -> Iterator[tuple[str, click.Command]]:
    """All commands below this one that do something, each with its words."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, parent=context), *words, name)
    else:
        yield " ".join(words), command


COMMANDS = dict(commands(tts_bench, click.Context(tts_bench, **tts_bench.context_settings)))


def options(command: click.Command) -> set[str]:
    found = [one for one in command.params if isinstance(one, click.Option)]
    return {name for one in found for name in (*one.opts, *one.secondary_opts)}


def section(name: str) -> str:
    """What the page of the command line says of a command."""
    found = re.search(rf"^## `tts-bench {name}\b.*?(?=^## |\Z)", CLI_PAGE, re.S | re.M)
    assert found, f"docs/cli.md has no section on `tts-bench {name}`"
    return found[0]


def command_lines(text: str) -> list[str]:
    """`tts-bench ...` in code blocks, over several lines too, and in the running text."""
    blocks, rest = CODE.findall(text), CODE.sub("", text)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for code in INLINE.findall(rest)]
    return [line.removeprefix("$ ") for line in lines if line.startswith(("tts-bench ", "$ tts-"))]


WRITTEN = [
    pytest.param(line, id=f"{page.relative_to(ROOT)}: {line[:60]}")
    for page in PAGES
    for line in dict.fromkeys(command_lines(page.read_text()))
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section_with_an_example_and_every_option(name):
    text = section(name)
    code = " ".join(INLINE.findall(CODE.sub("", text)))
    named = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", code))
    assert options(COMMANDS[name]) - named == set()
    assert named - options(COMMANDS[name]) == set()
    assert any(line.startswith(f"tts-bench {name} ") for line in command_lines(text))


def test_every_section_is_of_a_command():
    heads = re.findall(r"^## `tts-bench ([a-z]+(?: [a-z]+)*)", CLI_PAGE, re.M)
    assert sorted(heads) == sorted(COMMANDS)


@pytest.mark.parametrize("line", WRITTEN)
def test_every_command_line_that_is_written_is_one(line):
    """Words and options as click itself reads them; what stands for values is not looked at."""
    words = shlex.split(line, comments=True)[1:]
    command, context = tts_bench, click.Context(tts_bench, **tts_bench.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        below = command.get_command(context, name)
        assert below is not None, f"no command {name!r}"
        command, context = below, click.Context(below, parent=context, info_name=name)
    command.make_parser(context).parse_args(words)


def slugs(text: str) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    heads = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text())):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target.read_text()), link


STRATEGIES = sorted(ROOT.glob("strategies/*.py"))


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_every_strategy_says_how_it_differs_from_its_paper(path):
    text = (ROOT / "docs" / "strategies.md").read_text()
    table = text[text.index("## Where they differ from their papers") :]
    [row] = re.findall(rf"^\| `{path.stem}` \| (.*?) \| (.*?)\|$", table, re.M)
    papers = set(re.findall(r"\b\d{4}\.\d{5}\b", path.read_text()))
    assert papers <= set(re.findall(r"\b\d{4}\.\d{5}\b", " ".join(row)))
    assert bool(row[1].strip()) == (row[0] != "none")
