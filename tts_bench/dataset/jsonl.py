"""Your own problems in a local file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tts_bench.dataset.base import LoadedDataset
from tts_bench.dataset.items import items_of, problem_columns
from tts_bench.dataset.references import References
from tts_bench.dataset.rows import read_rows
from tts_bench.dataset.subset import SubsetDataset


@dataclass(frozen=True)
class JsonlDataset(SubsetDataset):
    """Problems of a local .jsonl, .json, .csv or .parquet file.

    `columns` maps a role (problem, reference, id, level, subject) to the column that holds it;
    roles left out are looked for under their usual names.
    """

    path: str
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        problem_columns(self.columns)

    def load(self) -> LoadedDataset:
        """Read the file. Raises DatasetError if it is missing, malformed or empty."""
        references = References()
        columns = problem_columns(self.columns)
        items = items_of(read_rows(self.path), columns, self.path, references)
        part = self.part(items, self.path)
        return LoadedDataset(Path(self.path).stem, self.path, "", part, references.notes)
