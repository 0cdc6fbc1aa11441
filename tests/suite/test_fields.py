from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from tts_bench.errors import UsageError
from tts_bench.suite.fields import build, check, field_types, sweep
from tts_bench.suite.yaml_document import YamlDocument

if TYPE_CHECKING:
    from decimal import Decimal


@pytest.fixture
def document() -> YamlDocument:
    return YamlDocument("s.yaml", {})


@dataclass(frozen=True)
class Strict:
    k: int = 1

    def __post_init__(self) -> None:
        if self.k > 5:
            raise ValueError("k is too large")
        if self.k > 1:
            raise TypeError("k is of no use\nreally")


@pytest.mark.parametrize(("k", "message"), [(9, "k is too large"), (2, "k is of no use")])
def test_what_a_constructor_raises_is_a_fault_of_one_line(document, k, message):
    assert build(Strict, {"k": k}, ("engine",), document) is None
    assert document.faults == [f"s.yaml: engine: {message}"]


def test_an_abstract_class_is_a_fault(document):
    @dataclass(frozen=True)
    class Half(abc.ABC):
        @abc.abstractmethod
        def solve(self) -> None: ...

    assert build(Half, {}, ("engine",), document) is None
    assert "abstract" in document.faults[0]


@dataclass(frozen=True)
class Unresolved:
    k: int = 1
    price: Decimal | None = None


def test_a_type_known_only_to_the_type_checker_names_class_and_field():
    with pytest.raises(UsageError, match=r"^Unresolved\.price: no type Decimal \| None: "):
        field_types(Unresolved)


@dataclass(frozen=True)
class Resolved:
    Mode = Literal["a", "b"]
    mode: Mode = "a"
    where: Path = Path()
    hidden: ClassVar[Decimal]


@dataclass(frozen=True)
class Inherited(Resolved):
    n: int = 1


def test_types_are_those_of_the_class_that_wrote_them_and_of_fields_alone():
    assert field_types(Inherited) == {"mode": Literal["a", "b"], "where": Path, "n": int}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (tuple[int, ...], 5, "must be a list, not 5"),
        (list[int], 5, "must be a list, not 5"),
        (dict[str, int], 5, "must be a mapping, not 5"),
        (Strict, 5, "must be a mapping, not 5"),
        (str, 5, "must be a string, not 5"),
        (bool, 1, "must be true or false, not 1"),
        (int, True, "must be an integer, not true"),
        (float, "hot", 'must be a number, not "hot"'),
        (Literal["mean", "sum"], "mode", "must be 'mean' or 'sum', not \"mode\""),
        (None, 1, "must be null, not 1"),
        (int, None, "must be an integer, not nothing"),
        (int | str, [], "must be an integer or a string, not []"),
        (tuple[int, int], [1, 2, 3], "must be at most 2 values, not [1, 2, 3]"),
        (tuple[int, int], [1], "must be complete, not [1]"),
        (Path, 5, "must be a string, not 5"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1, not 0"),
        (Annotated[int, Field(ge=1)] | None, 0, "must be at least 1, not 0"),
        (Annotated[float, Field(gt=0, le=1)], 0, "must be above 0, not 0"),
        (Annotated[float, Field(gt=0, le=1)], 1.5, "must be at most 1, not 1.5"),
        (Annotated[float, Field(lt=0.5)], 0.5, "must be below 0.5, not 0.5"),
    ],
)
def test_a_wrong_value_is_answered_in_the_words_of_yaml(document, kind, value, message):
    assert check(kind, value, ("a",), document) is None
    assert document.faults == [f"s.yaml: a: {message}"]


@dataclass(frozen=True)
class Part:
    size: Annotated[int, Field(ge=1)]
    label: str = ""


@dataclass(frozen=True)
class Whole:
    first: str | Part
    others: tuple[Part, ...] = ()


def test_blocks_within_blocks_name_every_fault(document):
    whole = build(Whole, {"first": {"size": 2}, "others": [{"size": 3}]}, (), document)
    assert whole == Whole(Part(2), (Part(3),))
    assert build(Whole, {"first": "a name"}, (), document) == Whole("a name")
    wrong = {"first": {"sise": 2}, "others": [{"size": 0, "label": 1}, 5]}
    assert build(Whole, wrong, (), document) is None
    assert document.faults == [
        "s.yaml: first.sise: unknown key 'sise'. Did you mean 'size'?",
        "s.yaml: first: missing key 'size'",
        "s.yaml: others[0].size: must be at least 1, not 0",
        "s.yaml: others[0].label: must be a string, not 1",
        "s.yaml: others[1]: must be a mapping, not 5",
    ]


def test_a_fault_within_a_value_names_its_place(document):
    check(dict[str, list[int]], {"x": [1, "y"]}, ("a",), document)
    assert document.faults == ['s.yaml: a.x[1]: must be an integer, not "y"']


def test_a_type_that_no_yaml_can_give_is_a_fault(document):
    class Opaque:
        pass

    assert check(Opaque, 3, ("a",), document) is None
    assert sweep(Opaque, [3], ("a",), document) == [None]
    assert all("no suite can give a " in fault for fault in document.faults)


def test_any_takes_what_there_is(document):
    assert check(Any, {"x": [None]}, ("a",), document) == {"x": [None]}
    assert not document.faults
