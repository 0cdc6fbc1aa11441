"""Rows of a data set on the Hugging Face Hub; the only module that knows `datasets`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_bench.dataset.row import OnBad, Row, refuse
from tts_bench.dataset.rows import checked
from tts_bench.errors import DatasetError, did_you_mean, quoted

if TYPE_CHECKING:
    from datasets import DatasetBuilder

_PROBE_SECONDS = 5.0
"""How long the hub may take to answer before only the cache is read."""


def download(
    hub_id: str,
    config: str | None,
    split: str,
    revision: str | None,
    on_bad: OnBad = refuse,
) -> tuple[list[Row], str]:
    """Fetch a split through the cache of `datasets`: its rows, and the commit they are from.

    Raises DatasetError as `open_split` does.
    """
    read, commit = open_split(hub_id, config, split, revision)
    return list(read(on_bad)), commit


def open_split(
    hub_id: str, config: str | None, split: str, revision: str | None
) -> tuple[Callable[[OnBad], Iterator[Row]], str]:
    """Fetch a split through the cache of `datasets`: what reads its rows, and their commit.

    For a pinned commit that the cache has the hub is not asked. `hub_id` may also be a local folder
    in the layout of the hub; its commit is "". Raises
    DatasetError where the data set, the config, the split or the revision does not exist, is
    out of reach or gated, or where the cache, offline, holds another commit than was asked for.
    """
    try:
        import datasets

        builder = _cached(hub_id, config, revision)
        if builder is None:
            with _cache_alone_if_unreachable(hub_id):
                builder = datasets.load_dataset_builder(hub_id, config, revision=revision)
                _check_commit(hub_id, revision, _commit(builder.hash))
                builder.download_and_prepare()
        commit = _commit(builder.hash)
        _check_split(hub_id, split, list(builder.info.splits or {}))
        table = builder.as_dataset(split=split)
    except DatasetError:
        raise
    except Exception as error:
        # `datasets` lets through errors of its file system, HTTP and hub libraries alike.
        raise DatasetError(_explain(hub_id, revision, error)) from error

    def read(on_bad: OnBad) -> Iterator[Row]:
        rows = ((f"{hub_id} row {number}", cells) for number, cells in enumerate(table, start=1))
        return checked(rows, on_bad)

    return read, commit


def _cached(hub_id: str, config: str | None, revision: str | None) -> DatasetBuilder | None:
    """A data set at a commit, if the cache has it; nobody is asked."""
    import datasets

    if not _commit(revision) or Path(hub_id).exists():
        return None
    level = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity_error()  # it would warn that nobody is asked
    try:
        with _offline():
            builder = datasets.load_dataset_builder(hub_id, config, revision=revision)
            # Without a config it takes whichever it has, where the hub may have several.
            named = config is not None or builder.config.name == "default"
            if not named or _commit(builder.hash) != revision:
                return None
            builder.download_and_prepare()
    except Exception:  # the library's many ways to say that it is not there
        return None
    finally:
        datasets.logging.set_verbosity(level)
    return builder


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Put both libraries into their offline mode."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _cache_alone_if_unreachable(hub_id: str) -> Iterator[None]:
    """Put both libraries into their offline mode if the hub does not answer.

    They would try each of several requests six times, for half a minute, with a line for each try.
    """
    from huggingface_hub import constants

    unreachable = not Path(hub_id).exists() and not _answers(constants.ENDPOINT)
    with _offline() if unreachable else contextlib.nullcontext():
        yield


def _answers(endpoint: str) -> bool:
    """Whether anything answers there, be it an error."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(endpoint, timeout=_PROBE_SECONDS)
    except Exception:  # of whichever HTTP library the hub's client stands on
        return False
    return True


def _commit(digest: Any) -> str:
    """Tell a hub commit from the hash that `datasets` gives to a local folder."""
    return digest if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{40}", digest) else ""


def _check_commit(hub_id: str, revision: str | None, commit: str) -> None:
    # Without a network `datasets` returns whichever commit was cached last, with a log line.
    if revision and _commit(revision) and commit and revision != commit:
        raise DatasetError(
            f"{hub_id}: the hub cannot be reached, and the cache holds commit {commit}, not the "
            f"pinned {revision}. Set `revision: {commit}` to use it"
        )


def _check_split(hub_id: str, split: str, splits: list[str]) -> None:
    name = split.partition("[")[0]
    if splits and "+" not in split and name not in splits:
        near = did_you_mean(name, splits)
        raise DatasetError(f"{hub_id}: no split {quoted(name)}, only {', '.join(splits)}{near}")


def _explain(hub_id: str, revision: str | None, error: Exception) -> str:
    from datasets.exceptions import DatasetNotFoundError

    text = " ".join(str(error).split())
    kinds = {kind.__name__ for kind in type(error).__mro__}  # the hub's client changes its library
    if isinstance(error, ConnectionError | TimeoutError) or "TransportError" in kinds:
        return (
            f"{hub_id}: the Hugging Face Hub cannot be reached and the data set is not in the "
            "cache. Read a local copy with `path:`, or fill the cache (HF_HOME) online"
        )
    if isinstance(error, DatasetNotFoundError) and "is a gated dataset" in text:
        return (
            f"{hub_id} is gated: accept its terms at https://huggingface.co/datasets/{hub_id}, "
            "then log in with `hf auth login`"
        )
    if isinstance(error, DatasetNotFoundError) and text.startswith("Revision"):
        return f"{hub_id}: no revision {quoted(revision)}"
    if isinstance(error, DatasetNotFoundError):
        return f"no data set {quoted(hub_id)} on the Hugging Face Hub, or it is private"
    return f"{hub_id}: {text or type(error).__name__}"
