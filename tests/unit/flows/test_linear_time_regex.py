"""Schema patterns are matched in linear time with Python's results, or not checked at all."""

from __future__ import annotations

import random
import re
from itertools import product

import pytest
from stepflow_client._checks.checker import check
from stepflow_client.flows.json_schema import find_mismatches
from stepflow_client.flows.linear_time_regex import compile_linear

_ATOMS = ("a", "b", "[ab]", r"\w", ".", r"(\s|)", "(a|ab|b)", "(a|a)", r"(\w|\d)")
_REPEATED = ("*", "+", "?", "{1,3}", "{2}", "*?", "+?")
_SHORT = ["".join(each) for length in range(3) for each in product("ab !", repeat=length)]


def ambiguous_pattern(random: random.Random) -> str:
    """Return a pattern with nested repetitions of overlapping parts."""
    text = random.choice(_ATOMS)
    for _ in range(random.randint(1, 2)):
        text = f"({text}{random.choice(_REPEATED)}{random.choice(_ATOMS)}?)"
    return random.choice(["^", ""]) + text + random.choice(_REPEATED) + random.choice(["$", "!$", "c$", ""])


@pytest.mark.parametrize("seed", range(200))
def test_an_ambiguous_pattern_is_matched_like_python_in_linear_time(seed: int) -> None:
    pattern = ambiguous_pattern(random.Random(seed))
    compiled = compile_linear(pattern)
    assert compiled is not None
    expected = {text: re.search(pattern, text) is not None for text in _SHORT}
    assert {text: compiled.is_found_in(text) for text in _SHORT} == expected
    for text in ("a" * 5_000 + "?", "ab" * 2_500 + "?", "a " * 2_500 + "?"):
        # A backtracking engine would not finish most of these.
        assert compiled.is_found_in(text) in (True, False)


@pytest.mark.parametrize("pattern", [
    r"(?=a)b", r"(?<!a)b", r"(a)\1", r"(?P<n>a)(?P=n)", "(?<name", "[", "*", r"a\Z",
    # Other engines read these as sets of plain or escaped characters.
    "[a&&b]", "[a--b]", "[a[b]]", "[[:alpha:]]", r"\<a\>", r"\b{start}a",
    # These take long to compile.
    "(?i)[à-ü]{3}", "a)", r"\w{1,255}", "(a{100}){100}", "(a{99}b){99}",
    "((a{0,99}){0,99}){0,99}", "a" * 4_001, r"\p{L}{100}",
])  # fmt: skip
def test_a_pattern_that_is_not_checked_is_reported(pattern: str) -> None:
    assert compile_linear(pattern) is None
    by_name = {"patternProperties": {pattern: False}, "additionalProperties": False}
    for schema, value, place in (({"pattern": pattern}, "x", "pattern"), (by_name, {"x": 1}, "Properties")):
        assert not find_mismatches(value, schema, {})
        flow = {"name": "f", "description": "d", "schemas": {"properties": {"input": schema}}, "output": 1}
        (diagnostic,) = [each for each in check(flow).diagnostics if each.rule == "unchecked-pattern"]
        assert place in diagnostic.path


@pytest.mark.parametrize("pattern", [
    r"^(\w+\s?)*$", r"^[\w-]{1,64}$", r"^\S+@\S+\.\S+$", "^[A-Z]{2}[0-9]{4,10}$", r"[\[\]]", "[]a]", r"\\<", r"\p{L}",
    "(?i)abc", "(?P<n>a)", "^#[0-9a-fA-F]{6}$", r"^\d{4}-\d{2}-\d{2}$", r"[a\-\-b]", "a{3,}",
    "(?i)[à-ü]{2}", "[à-ü]{3}", "a" * 2_400, "(a{1}){2000}", "(a{0,1}){2000}b",
])  # fmt: skip
def test_common_patterns_are_checked(pattern: str) -> None:
    compiled = compile_linear(pattern)
    assert compiled is not None
    assert compiled.is_found_in("") == (pattern == r"^(\w+\s?)*$")


def test_text_that_is_too_long_or_not_unicode_is_not_checked() -> None:
    compiled = compile_linear("^a{1000}b$")
    assert compiled is not None
    assert not compiled.is_found_in("a" * 900)
    assert compiled.is_found_in("a" * 2_000)
    assert compiled.is_found_in("\ud800")
    largest = compile_linear("a{1000}")
    assert largest is not None
    assert [largest.is_found_in("b" * length) for length in (1_000, 1_001)] == [False, True]


def test_the_length_of_a_pattern_includes_its_repetitions() -> None:
    patterns = [compile_linear(text) for text in ("a{0}", "a{1}", "a{0,1}", "a{2,5}", "(ab){3}c?")]
    assert [pattern and pattern.length for pattern in patterns] == [1, 1, 1, 5, 8]


def test_properties_whose_names_match_a_pattern_have_its_schema() -> None:
    schema = {
        "properties": {"a": True},
        "patternProperties": {"^(a|b)": {"type": "string"}},
        "additionalProperties": False,
    }
    assert not find_mismatches({"a": "x", "b1": "y"}, schema, {})
    assert [each.path for each in find_mismatches({"a": 1, "b": 2, "c": 3}, schema, {})] == ["$.a", "$.b", "$.c"]
