"""A suite's own text without its secrets, in every other letter as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from tts_bench.secrets.masking import MASK, hide, is_secret

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
"""An anchor and a tag, which stay: something else may refer to them."""


def masked_text(text: str) -> str:
    """The YAML text with the values under secret names masked; it loads as it did.

    The text must have been read as YAML before.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    places = sorted({(node.start_mark.index, node.end_mark.index) for node in _secret(root)})
    for start, end in reversed(places):
        written = text[start:end]
        properties = _PROPERTIES.match(written)
        kept = properties[0] if properties else ""
        newline = "\n" if written.endswith("\n") else ""
        text = f"{text[:start]}{kept}{MASK}{newline}{text[end:]}"
    return hide(text)


def _secret(node: yaml.Node | None, secret: bool = False) -> Iterator[yaml.ScalarNode]:
    """The scalars under secret names."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _secret(value, secret or is_secret(key.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _secret(value, secret)
    elif isinstance(node, yaml.ScalarNode) and secret and node.tag != "tag:yaml.org,2002:null":
        yield node
