"""A strict YAML reader that remembers on which line every value stands.

YAML as people expect it: duplicate keys are faults, `1e-3` is a number, `yes` and `no` are
words, dates stay text. Anchors, aliases and merge keys (`<<`) work; each alias is a copy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tts_bench.errors import QUOTED, SuiteError

Address = tuple[str | int, ...]
"""Keys and list indices from the document's root to a value."""

MAX_VALUES = 100_000
"""A few nested aliases can stand for billions of values; no suite has this many."""

_BITS = 1024
"""Of a whole number; with many more, Python refuses to write it."""

_MERGE = "tag:yaml.org,2002:merge"


@dataclass
class YamlDocument:
    """A parsed document: its data, and where each value was written."""

    path: str
    data: Any
    lines: dict[Address, int] = field(default_factory=dict)
    overrides: dict[Address, str] = field(default_factory=dict)
    """Values that came from the command line, with the option that set them."""
    faults: list[str] = field(default_factory=list)
    """In the order in which they were found; see `report`."""

    def where(self, address: Address) -> str:
        """`file:line` of a value (or of its nearest parent), or the option that set it."""
        for length in range(len(address), -1, -1):
            part = address[:length]
            if part in self.overrides:
                return self.overrides[part]
            if part in self.lines:
                return f"{self.path}:{self.lines[part]}"
        return self.path

    def fault(self, address: Address, message: str) -> None:
        """Note a fault; `message` follows `file:line: a.b[0]: `."""
        name = format_address(address)
        name = name if len(name) <= QUOTED else f"{name[:QUOTED]}..."
        self.faults.append(f"{self.where(address)}: {name + ': ' if name else ''}{message}")

    def report(self) -> list[str]:
        """The faults in the order of their lines, the command line's last."""
        prefix = f"{self.path}:"

        def line(fault: str) -> float:
            number = fault.removeprefix(prefix).partition(":")[0]
            return int(number) if fault.startswith(prefix) and number.isdigit() else math.inf

        return sorted(self.faults, key=line)

    def set(self, address: Address, value: Any, option: str) -> None:
        """Replace or add a value, as an option of the command line does."""
        if not isinstance(self.data, dict):
            self.data = {}
        target: Any = self.data
        place: Address = ()
        for key in address[:-1]:
            place = (*place, _key(target, key))
            below = _get(target, key)
            if not isinstance(below, dict | list):
                below = {}
                if not _put(target, key, below):
                    self.faults.append(f"{option}: no {format_address(place)}")
                    return
            target = below
        place = (*place, _key(target, address[-1]))
        if not _put(target, address[-1], value):
            self.faults.append(f"{option}: no {format_address(place)}")
            return
        self._forget(place)
        self.overrides[place] = option

    def _forget(self, place: Address) -> None:
        """Drop what is known of where a value and those below it were written."""
        for known in (self.lines, self.overrides):
            for address in [one for one in known if one[: len(place)] == place]:
                del known[address]


def format_address(address: Address) -> str:
    """`('strategies', 1, 'n')` as `strategies[1].n`."""
    text = ""
    for key in address:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def parse_address(text: str) -> Address:
    """`strategies.1.n` or `strategies[1].n` as `('strategies', 1, 'n')`; raises ValueError."""
    if not re.fullmatch(r"[^.\[\]]+(?:\.[^.\[\]]+|\[[0-9]+\])*", text):
        raise ValueError(f"{text!r} is no address such as a.b or a[0].b")
    parts = re.findall(r"[^.\[\]]+", text)
    return tuple(int(part) if re.fullmatch("[0-9]+", part) else part for part in parts)


def read_yaml(path: Path, shown: str) -> YamlDocument:
    """Read a file; raises SuiteError if it cannot be read or is no YAML."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise SuiteError([f"{shown}: not a text file in UTF-8"]) from None
    except OSError as error:
        raise SuiteError([f"{shown}: {error.strerror}"]) from None
    return parse_yaml(text, shown)


def parse_yaml(text: str, shown: str) -> YamlDocument:
    """Parse a text; raises SuiteError if it is no YAML."""
    document = YamlDocument(shown, None)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Builder(document).build(node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise SuiteError([f"{shown}{line}: not valid YAML: {problem}"]) from None
    except RecursionError:
        raise SuiteError([f"{shown}: nested too deeply"]) from None
    return document


def parse_value(text: str) -> Any:
    """A single YAML value, as `--set` takes it; raises ValueError with what is wrong."""
    try:
        document = parse_yaml(text, "")
    except SuiteError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    if document.faults:
        raise ValueError(document.faults[0].partition(": ")[2])
    return document.data


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's numbers and booleans, and without dates.

    YAML 1.1 reads `020` as 16 and `1:30` as 90; here they are 20 and text.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.rsplit(":", 1)[1] not in ("bool", "int", "float", "timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^(?:[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _integer(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """A whole number: decimal, leading zeros or not, or with a prefix that says its base."""
    digits = node.value.replace("_", "")
    number = int(digits, 0) if digits[1:2] in ("x", "o", "b") else int(digits)
    if number.bit_length() > _BITS:
        raise ValueError("too large")
    return number


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class _Builder:
    """Turns the parser's nodes into data, noting lines and faults in the document."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._open: list[yaml.Node] = []
        self._built = 0

    def build(self, node: yaml.Node, address: Address) -> Any:
        document = self._document
        document.lines[address] = node.start_mark.line + 1
        self._built += 1
        if self._built > MAX_VALUES:
            raise SuiteError([f"{document.path}: more than {MAX_VALUES} values"])
        if any(node is other for other in self._open):
            document.fault(address, "an alias of what it stands in")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, address)
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*address, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, address)
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.Node, address: Address) -> Any:
        try:
            return _Loader("").construct_object(node)
        except yaml.MarkedYAMLError as error:
            self._document.fault(address, f"not a value: {error.problem}")
        except (ValueError, LookupError, AttributeError):  # `!!int x`, `!!bool x`, `!!timestamp x`
            shown = node.value if len(node.value) <= QUOTED else f"{node.value[:QUOTED]}..."
            self._document.fault(address, f"not a value: {shown!r} as {node.tag}")
        return None

    def _mapping(self, node: yaml.MappingNode, address: Address) -> dict[str, Any]:
        document = self._document
        data: dict[str, Any] = {}
        inherited: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                inherited.append(value_node)
                continue
            key = self._name(key_node, address)
            if key is None:
                continue
            inner, line = (*address, key), key_node.start_mark.line + 1
            if key in data:
                first = document.lines[inner]
                document.lines[inner] = line
                document.fault(inner, f"duplicate key {key!r}, first on line {first}")
                document.lines[inner] = first
                continue
            data[key] = self.build(value_node, inner)
            document.lines[inner] = line
        for source in inherited:
            self._merge(source, address, data)
        document.lines[address] = node.start_mark.line + 1
        return data

    def _name(self, node: yaml.Node, address: Address) -> str | None:
        key = self.build(node, address)
        if isinstance(key, Hashable):
            return str(key)
        self._document.fault(address, "a key must be a word")
        return None

    def _merge(self, source: yaml.Node, address: Address, data: dict[str, Any]) -> None:
        """Add the keys of `<<`'s mapping, or of a list of mappings, that are not there yet."""
        if isinstance(source, yaml.SequenceNode):
            for one in source.value:
                self._merge(one, address, data)
        elif not isinstance(source, yaml.MappingNode):
            self._document.fault((*address, "<<"), "must be a mapping, or a list of mappings")
        else:
            lines, self._document.lines = self._document.lines, {}
            found = self.build(source, address)
            new, self._document.lines = self._document.lines, lines
            for place, line in new.items():
                if len(place) > len(address) and place[len(address)] not in data:
                    lines[place] = line
            data.update({key: value for key, value in (found or {}).items() if key not in data})


def _key(target: Any, key: str | int) -> str | int:
    """As the target's addresses have it: the keys of a mapping are words."""
    return key if isinstance(target, list) else str(key)


def _get(target: Any, key: str | int) -> Any:
    if isinstance(target, list):
        return target[key] if isinstance(key, int) and key < len(target) else None
    return target.get(str(key))


def _put(target: Any, key: str | int, value: Any) -> bool:
    if isinstance(target, list):
        if not isinstance(key, int) or key >= len(target):
            return False
        target[key] = value
    else:
        target[str(key)] = value
    return True
