"""Writes report.html: streams the attempts once, then one compressed chunk for each problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tts_bench.report.export.kept import KnownTexts
from tts_bench.report.page.assets import read_assets
from tts_bench.report.page.detail import describe_problem, pack
from tts_bench.report.page.overview import describe, embed
from tts_bench.report.page.tally import Tally
from tts_bench.report.page.votes import Votes
from tts_bench.report.points.content import Report
from tts_bench.report.spool import Spool, spool_attempts
from tts_bench.report.tables.render import heading
from tts_bench.store.files import staged
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt

TEXT_LIMIT = 64 * 2**20
"""Bytes of chunks with texts that a page holds; a browser reads more, but slowly."""

_DELIMITER = "\n\n"


def write_page(
    run: RunStore,
    report: Report,
    path: Path,
    text_limit: int = TEXT_LIMIT,
    texts: KnownTexts | None = None,
) -> None:
    """Write the page of a run in one step; equal runs give equal files.

    Texts come from the run's generation store, else from an earlier report; pass what knows them
    if it is open already. Once chunks
    with texts take `text_limit` bytes, further problems are written without; the page says so.
    Raises StoreError if a file cannot be read or written.
    """
    if texts is None:
        with KnownTexts(run) as texts:
            return write_page(run, report, path, text_limit, texts)
    tally, votes = Tally(), Votes(report)

    def see(attempt: Attempt) -> None:
        tally.add(attempt)
        votes.add(attempt)

    spool = spool_attempts(run, report.scope, see)
    manifest = run.read_manifest()
    counts = tally.by_problem(report.scope)
    overview = describe(report, manifest.problems, counts, votes.estimates())
    chunks = _Chunks(texts, report, spool, _delimiter(manifest), text_limit)
    page = _template().generate(
        assets=read_assets(),
        title=f"{report.scope.suite} · {report.scope.run}",
        suite=report.scope.suite,
        subtitle=_subtitle(report),
        overview=embed(overview),
        chunks=iter(chunks),
        # Called after the chunks, when it is known which texts were left out.
        omissions=lambda: embed(chunks.omissions),
    )
    with spool:
        _write(path, page)


class _Chunks:
    """The packed detail of each problem, made when it is asked for."""

    def __init__(
        self, texts: KnownTexts, report: Report, spool: Spool, delimiter: str, limit: int
    ) -> None:
        self._texts = texts
        self._scope, self._spool = report.scope, spool
        self._delimiter, self._limit = delimiter, limit
        self.omissions: dict[str, Any] = {"texts": texts.any, "problems": []}
        """Whether texts were to be had; numbers of the problems whose texts were left out."""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        cells = {cell.id: place for place, cell in enumerate(self._scope.cells)}
        used = 0
        for number, problem in enumerate(self._scope.problems):
            attempts = sorted(self._spool.of(problem), key=lambda one: (cells[one.cell], one.seed))
            keys = dict.fromkeys(key for one in attempts for key in one.pool.generation if key)
            stored = self._texts.read(keys)
            chunk = pack(describe_problem(attempts, cells, stored, self._delimiter))
            if used + len(chunk) > self._limit:
                self.omissions["problems"].append(number)
                chunk = pack(describe_problem(attempts, cells, {}, self._delimiter, False))
            else:
                used += len(chunk)
            yield number, chunk


def _subtitle(report: Report) -> str:
    scope = report.scope
    extent = heading(report).removeprefix(f"{scope.suite}, ")
    verifier = scope.verifier.name
    return " · ".join([extent, *([f"verifier {verifier}"] if verifier else []), scope.run])


def _delimiter(manifest: RunManifest) -> str:
    """What the verifier takes for the end of a step, as far as its recipe says."""
    recipe = manifest.verifier.recipe or ""
    try:
        settings = json.loads(recipe.partition(" ")[2])
    except ValueError:  # a recipe is free text but for this package's own verifiers
        return _DELIMITER
    found = settings.get("delimiter") if isinstance(settings, dict) else None
    return found if isinstance(found, str) and found else _DELIMITER


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("tts_bench.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("skeleton.html.j2")


def _write(path: Path, parts: Iterator[str]) -> None:
    with (
        staged(path) as beside,
        beside.open("w", encoding="utf-8", newline="\n", errors="replace") as file,
    ):
        file.writelines(parts)
