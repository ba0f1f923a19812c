"""The references of expressions, and the paths they use."""

from __future__ import annotations

import re
import weakref
from typing import Any

import pytest
from hypothesis import given, strategies
from stepflow_client._base.gc_pauses_and_slices import pause_garbage_collector
from stepflow_client.flows.expressions import (
    PathError,
    explain_ambiguous_path,
    find_references,
    format_path,
    get_keyword,
    is_expression,
    parse_path,
    parse_unambiguous_path,
)


def list_references(expression: Any) -> list[tuple[str, str, bool]]:
    """Return the name or path of each reference, its position, and whether it is always read."""
    references = find_references(expression)
    return [(each.step or str(each.path), format_path(each.at), each.is_certain) for each in references]


def test_the_first_keyword_wins() -> None:
    assert get_keyword({"$step": "a", "$input": "$", "$if": 1}) == "$if"
    assert get_keyword({"$literal": 1, "$if": 1}) == "$literal"
    assert get_keyword({"$from": {}, "$step": "a"}) == "$from"
    assert all(map(is_expression, ({"$from": {}}, {"a": 1, "$input": "$"})))
    for value in ({}, {"$steps": "a", "step": 1}, "$step", None, ["$step"]):
        assert get_keyword(value) is None
        assert not is_expression(value)


def test_references_of_an_expression_and_their_positions() -> None:
    expression = {"a": [1, {"$step": "x", "path": "$.p"}], "b c": {"$input": "$.q"}, "d": {"$variable": "v"}}
    assert list_references(expression) == [("x", "$.a[1]", True), ("$.q", '$["b c"]', True), ("v", "$.d", True)]
    assert [each.path for each in find_references(expression)] == ["$.p", "$.q", "v"]
    assert [each.field for each in find_references({"k": {"$if": {"$step": "c"}, "then": [{"$step": "t"}]}})] == [
        ("k",),
        ("k", 0),
    ]


@pytest.mark.parametrize(
    "inside", [{"$literal": {"$step": "a"}}, {"$from": {"$step": "a"}}, {"$coalesce": {"$step": "a"}}]
)
def test_literals_and_malformed_expressions_have_no_references(inside: Any) -> None:
    assert find_references({"x": [inside]}) == []


def test_references_are_freed_without_the_garbage_collector() -> None:
    class Expression(dict[str, Any]):
        pass

    expression = Expression({"$step": "a"})
    freed = weakref.ref(expression)
    with pause_garbage_collector():
        assert len(find_references([expression, {"$if": {"$input": "$.b"}, "then": expression}])) == 3
        del expression
        assert freed() is None


def test_references_in_branches() -> None:
    expression = {
        "$if": {"$step": "c"},
        "then": {"$coalesce": [{"$step": "x"}, {"$step": "y"}]},
        "else": {"$variable": "v", "default": {"$step": "z"}},
    }
    references = find_references(expression)
    assert [each.step or each.variable for each in references] == ["c", "x", "y", "v", "z"]
    assert [each.is_certain for each in references] == [True, False, False, False, False]
    assert [each.is_in_condition for each in references] == [True, False, False, False, False]
    assert [each.is_in_default for each in references] == [False, False, False, False, True]
    assert [sorted(each.after) for each in references] == [[], ["c"], ["c", "x"], ["c"], ["c"]]
    then, other = ("then", 0, {"$step": "c"}), ("else", 0, {"$step": "c"})
    assert [list(map(tuple, each.branches)) for each in references] == [
        [("condition", 0, None)], [then, ("coalesce", 0, None)], [then, ("coalesce", 1, None)], [other],
        [other, ("default", 0, None)],
    ]  # fmt: skip
    # A condition on the input doesn't wait for any step.
    assert [each.after for each in find_references({"$if": {"$input": "x"}, "then": {"$step": "a"}})] == [set(), set()]
    assert list_references({"$coalesce": [{"$step": "a"}, {"$step": "b"}]}) == [
        ("a", "$.$coalesce[0]", True),
        ("b", "$.$coalesce[1]", False),
    ]


def test_variable_names_are_parsed() -> None:
    names = {"v": "v", "$.v": "v", "$.v.part[0]": "v", "$['v']": "v", ' $["v"].x': "v", "v.part": "v.part", "$": None}
    for path, name in names.items():
        assert find_references({"$variable": path})[0].variable == name
    for wrong in (5, None, ["a"], "$[0]", "$v", ""):
        assert find_references({"$variable": wrong})[0].variable is None
    assert find_references({"$step": ["a"]})[0].step is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ()),
        ("", ()),
        ("$", ()),
        ("$.", ()),
        ("$.a.b", ("a", "b")),
        ("$.a[0].b", ("a", 0, "b")),
        ("$..k", ("k",)),
        ("$.*", ("*",)),
        ("$[+1]", (1,)),
        ("$[ 'a.b' ]", ("a.b",)),
        ('$["q"uote"]', ('q"uote',)),
        (" $.a", ("a",)),
        ("a.b", ("a.b",)),
        (" a ", (" a ",)),
        ("$.a b", ("a b",)),
    ],
)
def test_parse_path(text: str | None, parts: tuple[str | int, ...]) -> None:
    assert parse_path(text) == parts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((f"$[{inside}]", "is neither an index") for inside in ("-1", "*", "0:1", "k", "", "1e0", "'a", "'")),
        ("$.a[", "a [ is not closed"),
        ("$['a'", "a [ is not closed"),
        ("$foo", "$ must be followed by . or [, not 'f'"),
        ("$$", "$ must be followed by . or [, not '$'"),
        ("$[0]foo", "'f' after ]"),
    ],
)
def test_paths_that_servers_reject_are_errors(text: str, reason: str) -> None:
    with pytest.raises(PathError, match=re.escape(reason)):
        parse_path(text)
    assert parse_unambiguous_path(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("o.k", "'o.k' is a single field name"),
        ("arr[0]", "'arr[0]' is a single field name"),
        ("a..b", "'a..b' is a single field name"),
        ('$["a.b"]', "the quoted name 'a.b' is read as a path if a step is overridden; rename the field"),
        ("$.o['']", "the quoted name '' is read as a path if a step is overridden; rename the field"),
        ("$.*", "'$.*' has no wildcards or descent: * is a field name and empty names are dropped"),
        ("$.a..b", "'$.a..b' has no wildcards or descent: * is a field name and empty names are dropped"),
        ("a.", "'a.' is a single field name"),
    ],
)
def test_ambiguous_paths_are_explained(text: str, reason: str) -> None:
    assert explain_ambiguous_path(text) == reason
    assert parse_unambiguous_path(text) is None


def test_only_strings_are_paths() -> None:
    assert parse_unambiguous_path(5) is None
    assert parse_unambiguous_path(["a"]) is None
    assert parse_unambiguous_path(None) == parse_unambiguous_path("") == ()


@pytest.mark.parametrize("text", ["$", "$.a.b", "$.a[0]", "name", "$['a b']", "a b ", "$.a-b"])
def test_portable_paths_are_unambiguous(text: str) -> None:
    assert explain_ambiguous_path(text) is None
    assert parse_unambiguous_path(text) == parse_path(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "$"),
        (("a", 0, "b"), "$.a[0].b"),
        (("a b", "ä", ""), '$["a b"].ä[""]'),
        (("it's", "a-b", "$if"), '$["it\'s"].a-b.$if'),
        (("a.b", "c[0]", "*"), '$["a.b"]["c[0]"]["*"]'),
    ],
)
def test_format_path(path: tuple[str | int, ...], text: str) -> None:
    assert format_path(path) == text
    assert parse_path("$.a[0]") == parse_path(format_path([0], "$.a"))


NAMES = strategies.text(strategies.characters(exclude_characters=']"\\', exclude_categories=["C", "Z"]))


@given(strategies.lists(NAMES | strategies.integers(0, 10**6)))
def test_formatted_paths_round_trip(parts: list[str | int]) -> None:
    assert parse_path(format_path(parts)) == tuple(parts)
