"""What is recorded of an attempt that failed: the error, and where in the strategy it arose."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

from tts_bench.errors import TtsBenchError
from tts_bench.secrets.masking import hide
from tts_bench.strategy.base import Strategy

_LONGEST = 1000


def described(error: BaseException, strategy: Strategy) -> str:
    """The error's class and message, and the place in the strategy's own file if there is one.

    The place is without the file's folder, so that it is the same on every machine. What this
    package raises on purpose says enough by itself.
    """
    text = hide(f"{type(error).__name__}: {error}")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 3]}..."
    place = None if isinstance(error, TtsBenchError) else _place(error, strategy)
    whole = f"{text} ({place})" if place else text
    return whole.encode("utf-8", "backslashreplace").decode()


def _place(error: BaseException, strategy: Strategy) -> str | None:
    """`rule.py:12 in solve`: the innermost frame that is in a file of the strategy's."""
    own = {_file(cls) for cls in type(strategy).__mro__ if _is_own(cls)}
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename in own:
            return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    return None


def _is_own(cls: type) -> bool:
    return issubclass(cls, Strategy) and not cls.__module__.startswith("tts_bench.")


def _file(cls: type) -> str | None:
    try:
        return inspect.getsourcefile(cls)
    except (TypeError, OSError):  # a class without a file, as one made in a notebook
        return None
