"""What was read of a large file, by name, in a temporary file."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections import defaultdict
from typing import IO, Generic, TypeVar

from tts_bench.errors import StoreError

T = TypeVar("T")


class Spooled(Generic[T]):
    """Values under names, in the order in which they came; none of them stays in memory."""

    def __init__(self) -> None:
        # The system removes it with the process, however that ends.
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is read later
        weakref.finalize(self, self._file.close)
        self._places: dict[str, list[int]] = defaultdict(list)

    def add(self, name: str, value: T) -> None:
        """Keep a value. Raises StoreError if the disk refuses."""
        try:
            self._places[name].append(self._file.seek(0, 2))
            pickle.dump(value, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise StoreError(
                f"temporary files: {error.strerror or error}; TMPDIR names another folder for them"
            ) from error

    def of(self, name: str) -> list[T]:
        """The values under a name."""
        found = []
        for place in self._places[name]:
            self._file.seek(place)
            found.append(pickle.load(self._file))
        return found
