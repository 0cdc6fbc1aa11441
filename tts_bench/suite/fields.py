"""Dataclass fields from YAML values: checked one by one, with every fault noted."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import math
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from tts_bench import types as nouns
from tts_bench.errors import QUOTED, DatasetError, UsageError, did_you_mean, quoted
from tts_bench.suite.yaml_document import Address, YamlDocument

T = TypeVar("T")

MOST = 10**9
"""Largest whole number of a field whose type says no limits of its own."""
_INTEGER = 2**63


_ALIASES = {
    name: typing.get_args(kind)[0].__name__
    for name, kind in vars(nouns).items()
    if typing.get_origin(kind) is typing.Annotated
}
"""Names of limited numbers, as they stand in annotations, and the plain types they limit."""
_ALIAS = re.compile(rf"\b(?:{'|'.join(_ALIASES)})\b")


@dataclass(frozen=True)
class Parameter:
    """A field that a user may set: its name, its type as text, its default."""

    name: str
    type: str
    default: str
    required: bool


def parameters(cls: type[Any]) -> list[Parameter]:
    """What a suite may set of a class, in the order in which the fields stand."""
    found = []
    for field in _settable(cls):
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        default = "" if field.default is dataclasses.MISSING else repr(field.default)
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        plain = _ALIAS.sub(lambda alias: _ALIASES[alias[0]], str(kind))
        found.append(Parameter(field.name, plain, default, required))
    return found


def build(
    cls: type[T],
    values: Any,
    address: Address,
    document: YamlDocument,
    skip: Sequence[str] = (),
    made: Mapping[str, Any] | None = None,
) -> T | None:
    """An instance of a dataclass from a mapping, or None if faults were noted.

    `skip` names keys of the mapping that belong to somebody else. `made` holds parameters that
    the caller has built from the mapping's keys of these names, None if that failed.
    """
    made = made or {}
    before = len(document.faults)
    if not isinstance(values, Mapping):
        document.fault(address, f"must be a mapping, not {_shown(values)}")
        return None
    kinds = field_types(cls)
    checked = {}
    for name, value in values.items():
        if name in skip or name in made:
            continue
        if name not in kinds:
            unknown_key(document, (*address, name), list(kinds))
            continue
        checked[name] = check(kinds[name], value, (*address, name), document)
    for parameter in parameters(cls):
        if parameter.required and parameter.name not in values:
            document.fault(address, f"missing key {parameter.name!r}")
    if len(document.faults) > before or None in made.values():
        return None
    return instantiate(cls, {**checked, **made}, address, document)


def instantiate(
    cls: type[T], values: Mapping[str, Any], address: Address, document: YamlDocument
) -> T | None:
    """Call the class; what its `__post_init__` raises for wrong values becomes a fault."""
    try:
        return cls(**values)
    except (ValueError, TypeError, DatasetError) as error:
        document.fault(address, str(error).partition("\n")[0] or type(error).__name__)
        return None


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Types of the fields that a suite may set, by name.

    Raises UsageError if an annotation means nothing outside of its file, as one does whose
    name is imported under TYPE_CHECKING.
    """
    return {field.name: _field_type(cls, field.name) for field in _settable(cls)}


def check(kind: Any, value: Any, address: Address, document: YamlDocument) -> Any:
    """The value as the type wants it; notes a fault if it does not fit.

    A mapping that stands for a dataclass is built as a block of its own, all of its faults noted.
    """
    if isinstance(value, Mapping) and (block := _block(kind)):
        return build(block, value, address, document)
    if isinstance(value, list) and (element := _element(kind)) and _block(element):
        return tuple(check(element, one, (*address, i), document) for i, one in enumerate(value))
    if senseless := _senseless(value):
        place, why = senseless
        document.fault((*address, *place), why)
        return None
    try:
        found = _validate(kind, value)
        if type(found) is int and int in _members(kind) and abs(found) > MOST:
            document.fault(address, f"must be from -{MOST} to {MOST}, not {found}")
            return None
        return found
    except ValidationError as error:
        place = _place(value, error.errors()[0]["loc"])
        alike = [one for one in error.errors() if _place(value, one["loc"]) == place]
        wanted = dict.fromkeys(_wanted(one["type"], one["msg"], one.get("ctx")) for one in alike)
        given = _shown(alike[0]["input"])
        document.fault((*address, *place), f"must be {' or '.join(wanted)}, not {given}")
    except PydanticUserError:
        document.fault(address, f"no suite can give a {inspect.formatannotation(kind)}")
    return None


def _senseless(value: Any) -> tuple[Address, str] | None:
    """Where a value holds what no setting can mean, and what is wrong with it."""
    if isinstance(value, float) and not math.isfinite(value):
        return (), f"must be a finite number, not {value}"
    if isinstance(value, int) and not -_INTEGER <= value < _INTEGER:
        return (), f"must be from -2**63 to 2**63 - 1, not {quoted(value)}"
    if isinstance(value, str) and (bad := re.search("[\0\ud800-\udfff]", value)):
        what = "a NUL character" if bad[0] == "\0" else "half of a surrogate pair"
        return (), f"must not hold {what}: {quoted(value)}"
    inside: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for key, one in inside:
        if found := _senseless(one):
            return (key, *found[0]), found[1]
    return None


def sweep(kind: Any, value: Any, address: Address, document: YamlDocument) -> list[Any]:
    """The values that a parameter takes: a list where a scalar is expected is a sweep."""
    if isinstance(value, list) and not _fits(kind, value):
        if not value:
            document.fault(address, "an empty sweep")
        return [check(kind, item, (*address, i), document) for i, item in enumerate(value)]
    return [check(kind, value, address, document)]


def combinations(sweeps: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the sweeps' values."""
    for values in itertools.product(*sweeps.values()):
        yield dict(zip(sweeps, values, strict=True))


def unknown_key(document: YamlDocument, address: Address, known: Sequence[str]) -> None:
    """Note a key that nobody reads, with the nearest one that somebody does."""
    name = str(address[-1])
    hint = did_you_mean(name, known) or f"; known: {', '.join(sorted(known)) or 'none'}"
    document.fault(address, f"unknown key {quoted(name)}{hint}")


def _settable(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _validate(kind: Any, value: Any) -> Any:
    # Through JSON and strictly: a list is a tuple, but "5" is no number and true is no 1.
    return TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)


def _members(kind: Any) -> tuple[Any, ...]:
    """The types of a union; of any other type, that type."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _block(kind: Any) -> Any:
    """The dataclass that a mapping stands for, if it can stand for one alone."""
    found = [one for one in _members(kind) if dataclasses.is_dataclass(one)]
    is_mapping = any(typing.get_origin(one) in (dict, Mapping) for one in _members(kind))
    return found[0] if len(found) == 1 and not is_mapping else None


def _element(kind: Any) -> Any:
    """The type of a tuple's elements, if it may have any number of them."""
    arguments = typing.get_args(kind)
    is_any_number = typing.get_origin(kind) is tuple and arguments[1:] == (...,)
    return arguments[0] if is_any_number else None


def _fits(kind: Any, value: Any) -> bool:
    try:
        _validate(kind, value)
    except (ValidationError, PydanticUserError):
        return False
    return True


_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_type": "an integer",
    "list_type": "a list",
    "missing": "complete",
    "none_required": "null",
    "set_type": "a list",
    "string_too_short": "a string that is not empty",
    "string_type": "a string",
    "tuple_type": "a list",
}
"""Demands of pydantic's errors, in the words of YAML."""

_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""Limits of `Annotated[int, Field(ge=1)]` and the like, and where pydantic says what they are."""


def _wanted(error: str, message: str, context: Mapping[str, Any] | None) -> str:
    if error in ("literal_error", "enum") and context:
        return str(context["expected"])
    if error == "too_long" and context:
        return f"at most {context['max_length']} values"
    if error in _WANTED:
        return _WANTED[error]
    if error in _LIMITS and context:
        words, key = _LIMITS[error]
        return f"{words} {context[key]:.12g}"
    plain = message.removeprefix("Input should be ")
    return plain if plain != message else f"valid ({message})"


def _place(value: Any, location: Sequence[str | int]) -> Address:
    """Where in the value the error lies; a location also names the members of unions."""
    place: Address = ()
    for part in location:
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, Mapping) and part in value):
            place, value = (*place, part), value[part]
    return place


def _field_type(cls: type[Any], name: str) -> Any:
    home = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    written = inspect.get_annotations(home)[name]
    module = vars(sys.modules[home.__module__])
    alone = type(home.__name__, (), {"__annotations__": {name: written}})
    try:
        return typing.get_type_hints(alone, dict(vars(home)), module, include_extras=True)[name]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise UsageError(f"{cls.__name__}.{name}: no type {written}: {error}") from None


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, default=str)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
