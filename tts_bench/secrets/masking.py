"""Masks secrets: whatever stands under a name such as `api_key`, and the same value anywhere else.

Names decide in settings and options; a value that was found so, or in the environment, is then
masked in every text that is printed or written in this process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

MASK = "<masked>"
"""Stands for a secret; plain text in YAML and JSON."""

_WORDS = {
    *("auth", "authorization", "bearer", "cookie", "credential", "credentials", "passphrase"),
    *("passwd", "password", "pwd", "secret", "secrets", "token", "apikey", "apikeys", "apitoken"),
}
_KEYS = {"access", "api", "auth", "client", "encryption", "private", "secret", "service", "signing"}
"""What makes a `key` a secret one, where it stands before it."""
_MODEL_TOKENS = {
    *("bos", "cls", "delimiter", "end", "eos", "first", "last", "mask", "negative", "new", "next"),
    *("no", "pad", "per", "positive", "prompt", "right", "sep", "separator", "special", "start"),
    *("step", "stop", "think", "unk", "wrong", "yes"),
}
"""What makes a `token` one of a model's vocabulary, or a unit, where it stands before it."""
_SHORTEST = 4
"""Characters of a value that is masked wherever it stands; shorter ones stand anywhere."""
_ASSIGNED = re.compile(
    r"""(?:(?P<set>[A-Za-z][\w.\-]*)\s*=
        |["'](?P<json>[A-Za-z][\w.\-]*)["']\s*:
        |(?<=[{,])\s*(?P<flow>[A-Za-z][\w.\-]*)\s*:
        |(?P<header>[\w-]*authorization|x-api-key)\s*:)\s*["']?""",
    re.IGNORECASE | re.VERBOSE,
)
"""How a value is given to a name: `a=b`, in JSON, in a mapping of YAML, in the header of a request.
Not a bare `a: b`, as messages are: the name there is that of the fault's place."""
_VALUE = re.compile(r"""(?:Bearer\s+|Basic\s+)?[^\s"',}\]]+""")
_USER_INFO = re.compile(r"(?<=://)[^/@\s:]+:[^/@\s]+(?=@)")

_known: set[str] = set()


@lru_cache(4096)  # the environment is looked through for every line that is printed
def is_secret(name: object) -> bool:
    """Whether a name is that of a secret.

    >>> [is_secret(name) for name in ("api_key", "HF_TOKEN", "max_tokens", "wrong_token")]
    [True, True, False, False]
    """
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", str(name))
    words = re.split(r"[\W_]+", spaced.lower().strip("_- "))
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in ("key", "keys"):
        return before in _KEYS
    return last in _WORDS and not (last == "token" and before in _MODEL_TOKENS)


def masked(data: Any, show: Callable[[str], str] | None = None) -> Any:
    """A copy of settings in which the values under secret names are masked.

    Other strings become what `show` makes of them: with `hide` no known secret is left. Without
    it the copy is the same on every machine, as the hash of a suite must be.
    """
    if isinstance(data, Mapping):
        return {
            key: _all_masked(value) if is_secret(key) else masked(value, show)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [masked(value, show) for value in data]
    return show(data) if show is not None and isinstance(data, str) else data


def masks(data: Any, place: str = "") -> Iterator[str]:
    """Where in settings a mask stands in place of a secret, as `engine.api_key`."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from masks(value, f"{place}.{key}" if place else str(key))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from masks(value, f"{place}[{number}]")
    elif data == MASK:
        yield place


def remember(data: Any) -> None:
    """Take note of the values under secret names, which `hide` then masks in any text."""
    for value in _secrets(data):
        if len(value) >= _SHORTEST and value != MASK:
            _known.add(value)


def hide(text: str) -> str:
    """The text without the secrets that are known, and without passwords in addresses."""
    for secret in sorted(_known | _of_environment(), key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    return _USER_INFO.sub(MASK, text) if "://" in text else text


def hide_assigned(text: str) -> str:
    """As `hide`, and without what is assigned to a secret name: for options and messages."""
    text, shown, at = hide(text), [], 0
    for found in _ASSIGNED.finditer(text):
        value = _VALUE.match(text, found.end())
        if value is not None and found.start() >= at and is_secret(found[found.lastgroup or 0]):
            shown += [text[at : found.end()], MASK]
            at = value.end()
    return "".join([*shown, text[at:]])


def _all_masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _all_masked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_all_masked(one) for one in value]
    return value if value is None or isinstance(value, bool) else MASK


def _secrets(data: Any, secret: bool = False) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _secrets(value, secret or is_secret(key))
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _secrets(value, secret)
    elif secret and data is not None and not isinstance(data, bool):
        yield str(data)


def _of_environment() -> set[str]:
    """Values of the environment's secrets.

    Short ones are words that may mean anything else, and paths say where a secret is, not what.
    """
    return {
        value
        for name, value in os.environ.items()
        if is_secret(name) and len(value) >= 8 and name != "PWD" and not os.path.exists(value)
    }
