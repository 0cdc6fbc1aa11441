"""Files that appear whole."""

from __future__ import annotations

import pytest

from tts_bench.errors import StoreError
from tts_bench.store.files import staged, write_atomically


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with staged(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"\r\n\xff")
    assert path.read_bytes() == b"\r\n\xff"
    write_atomically(path, "é\n")
    assert path.read_bytes() == "é\n".encode()


def test_what_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def half() -> None:
        with staged(path) as beside:
            beside.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["nowhere/a.txt", "folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_one_line_with_its_path(tmp_path, name):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match="^" + str(tmp_path)):
        write_atomically(tmp_path / name, "x")
