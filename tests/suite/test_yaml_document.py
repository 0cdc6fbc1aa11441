from __future__ import annotations

import pytest

from tts_bench.errors import SuiteError
from tts_bench.suite.yaml_document import MAX_VALUES, parse_address, parse_value, parse_yaml


def test_every_value_knows_its_line():
    document = parse_yaml("a: 1\nb:\n  c:\n    - x\n    - y: 2\n", "s.yaml")
    assert document.data == {"a": 1, "b": {"c": ["x", {"y": 2}]}}
    assert document.where(("b", "c", 1, "y")) == "s.yaml:5"
    assert document.where(("b", "c", 0)) == "s.yaml:4"
    assert document.where(("b", "nowhere")) == "s.yaml:2"


def test_duplicate_keys_are_faults_with_both_lines():
    document = parse_yaml("a: 1\nb: 2\na: 3\n", "s.yaml")
    assert document.faults == ["s.yaml:3: a: duplicate key 'a', first on line 1"]
    assert document.data["a"] == 1


def test_duplicate_keys_in_nested_mappings_are_found():
    assert parse_yaml("x:\n  - {a: 1, a: 2}\n", "s.yaml").faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2024-01-02", "2024-01-02"),
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("null", None),
        ("12", 12),
        ("020", 20),
        ("-007", -7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("[1, 4]", [1, 4]),
    ],
)
def test_scalars_are_read_as_people_expect(text, value):
    assert parse_value(text) == value
    assert parse_yaml(f"a: {text}", "s").data == {"a": value}


def test_a_number_beyond_what_python_reads_is_a_short_line():
    document = parse_yaml(f"a: {'9' * 5000}", "s.yaml")
    assert document.data == {"a": None}
    (fault,) = document.faults
    assert fault.startswith("s.yaml:1: a: not a value: '999")
    assert len(fault) < 300


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x", "a: 'x"])
def test_broken_yaml_is_one_line_with_its_line_number(text):
    with pytest.raises(SuiteError, match=r"^s.yaml:\d+: not valid YAML: ") as caught:
        parse_yaml(text, "s.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_addresses_are_read_in_both_spellings():
    assert parse_address("strategies[1].n") == parse_address("strategies.1.n")
    assert parse_address("a.b") == ("a", "b")


@pytest.mark.parametrize("text", ["", ".", "[]", "a..b", "a[", "a[x]", "[0]", "a.", "a[-1]"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no address"):
        parse_address(text)


def test_a_digit_of_another_script_is_a_word_in_an_address():
    assert parse_address("a.\u00b2") == ("a", "\u00b2")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}"])
def test_an_alias_of_what_it_stands_in_is_one_fault_with_its_line(text):
    document = parse_yaml(f"x: 1\n{text}\n", "s.yaml")
    assert len(document.faults) == 1
    assert document.faults[0].startswith("s.yaml:2: a")
    assert document.faults[0].endswith(": an alias of what it stands in")


def test_aliases_are_copies_of_their_anchors():
    document = parse_yaml("a: &x [1, 2]\nb: *x\n", "s.yaml")
    assert document.data == {"a": [1, 2], "b": [1, 2]}
    document.set(("b", 0), 7, "--set b[0]=7")
    assert document.data == {"a": [1, 2], "b": [7, 2]}


def test_merge_keys_add_what_is_not_there_and_the_earlier_mapping_wins():
    text = """\
base: &base {x: 1, y: 1}
more: &more {y: 2, z: 2}
one: {<<: *base, y: 5}
two: {y: 5, <<: *base}
three: {<<: [*more, *base]}
"""
    document = parse_yaml(text, "s.yaml")
    assert not document.faults
    assert document.data["one"] == document.data["two"] == {"x": 1, "y": 5}
    assert document.data["three"] == {"x": 1, "y": 2, "z": 2}
    assert document.where(("one", "y")) == "s.yaml:3"
    assert document.where(("one", "x")) == "s.yaml:1"


def test_a_merge_of_what_is_no_mapping_is_a_fault():
    assert parse_yaml("a: {<<: 3}", "s").faults == [
        "s:1: a.<<: must be a mapping, or a list of mappings"
    ]


def nested_aliases(merge: bool) -> str:
    lines = ["a0: &a0 {x: 1}"]
    for i in range(1, 12):
        many = ", ".join([f"*a{i - 1}"] * 10)
        lines.append(f"a{i}: &a{i} {{<<: [{many}]}}" if merge else f"a{i}: &a{i} [{many}]")
    return "\n".join(lines)


@pytest.mark.parametrize("merge", [False, True])
def test_aliases_that_stand_for_billions_of_values_are_refused(merge):
    with pytest.raises(SuiteError, match=f"^s.yaml: more than {MAX_VALUES} values$"):
        parse_yaml(nested_aliases(merge), "s.yaml")


def test_too_deep_a_nesting_is_one_line():
    with pytest.raises(SuiteError, match=r"^s.yaml: nested too deeply$"):
        parse_yaml("[" * 5000 + "]" * 5000, "s.yaml")


@pytest.mark.parametrize(
    "text",
    ["!!int x", "!!bool x", "!!timestamp x", "!!float x", "!!python/name:os.system", "!!int 0b_"],
)
def test_a_value_that_is_not_what_its_tag_says_is_a_fault(text):
    assert len(parse_yaml(f"a: {text}", "s").faults) == 1
    with pytest.raises(ValueError, match="not a value"):
        parse_value(text)


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "&a [*a]", "[1", "a\0b"])
def test_a_faulty_value_is_one_line_without_a_place(text):
    with pytest.raises(ValueError, match=r"^[^:]") as caught:
        parse_value(text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_value_that_replaces_others_forgets_their_lines():
    document = parse_yaml("a:\n  b: [1]\n", "s.yaml")
    document.set(("a", "c"), 1, "--set a.c=1")
    document.set(("a",), {"b": [2], "c": 2}, "--set a=...")
    assert document.where(("a", "b", 0)) == "--set a=..."
    assert document.where(("a", "c")) == "--set a=..."


def test_a_number_as_the_key_of_a_mapping_is_a_word():
    document = parse_yaml("a: {}\n", "s.yaml")
    document.set(("a", 3), 1, "--set a.3=1")
    assert document.data == {"a": {"3": 1}}
    assert document.where(("a", "3")) == "--set a.3=1"
