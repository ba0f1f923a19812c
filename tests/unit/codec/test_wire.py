"""JSON values are checked and encoded, outputs are decoded, and overrides are merged."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel
from stepflow_client._data.wire import (
    MAX_FIELD_DEPTH,
    MAX_INPUT_DEPTH,
    MAX_LOCAL_DEPTH,
    OutputDecoder,
    check_json,
    decode,
    decode_keeping_floats,
    encode_if_plain,
    is_plain,
    restore_key_order,
    to_json,
    unify_overrides,
)
from stepflow_client.errors import InvalidArgumentError
from stepflow_client.types import ExecutionStatus, FlowResult

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    A = 1


class Model(BaseModel):
    when: datetime.date = datetime.date(2026, 11, 24)
    pair: tuple[int, str] = (1, "a")


class Opaque(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    it: object = object()


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Endless:
    def model_dump(self, mode: str, by_alias: bool) -> Endless:
        return self


Point = namedtuple("Point", "x y")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# Encoding


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.0, 1.0),
        (-0.0, -0.0),
        (2**53 + 1, 2**53 + 1),
        ("ä\U0001f600", "ä\U0001f600"),
        ((1, (2, [3])), [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (UserDict({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
        (ExecutionStatus.FAILED, "failed"),
        (Text("x"), "x"),
        ({Text("k"): 1}, {"k": 1}),
        (Model(), {"when": "2026-11-24", "pair": [1, "a"]}),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.datetime(2026, 1, 1, 12, 30, tzinfo=datetime.UTC), "2026-01-01T12:30:00+00:00"),
        ({"day": datetime.date(2026, 1, 1)}, {"day": "2026-01-01"}),
        ([datetime.time(12, 30)], ["12:30:00"]),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Path("a") / "b.txt", "a/b.txt"),
        (Plain.A, 1),
        ([{"m": Model()}], [{"m": {"when": "2026-11-24", "pair": [1, "a"]}}]),
    ],
)
def test_values_are_converted_to_json(value: Any, expected: Any) -> None:
    checked = check_json(value, "input")
    assert json.dumps(checked) == json.dumps(expected)
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        ({"a": [1, {"b c": math.nan}]}, "nan is not a number that JSON can represent", '$.a[1]["b c"]'),
        ([math.inf], "inf is not a number", "$[0]"),
        ({1: 2}, "the key 1 is not a string", "$"),
        ({"a": {None: 1}}, "the key None is not a string", "$.a"),
        ({(1, 2): 1}, "is not a string", "$"),
        (b"x", "bytes is not a JSON value", "$"),
        ({"a": {1, 2}}, "set is not a JSON value", "$.a"),
        (datetime.timedelta(1), "timedelta is not a JSON value", "$"),
        (range(3), "range is not a JSON value", "$"),
        (deque(), "deque is not a JSON value", "$"),
        (1j, "complex is not a JSON value", "$"),
        (print, "is not a JSON value", "$"),
        ("\ud800", "half of a surrogate pair", "$"),
        ({"a": "x\udfff"}, "half of a surrogate pair", "$.a"),
        ({"\ud800": 1}, "half of a surrogate pair", "$"),
        ({"a": FlowResult}, "FlowResult is a class, not an object", "$.a"),
        ([Opaque()], "Opaque cannot be written as JSON", "$[0]"),
        (Endless(), "nested too deeply", ""),
        (nested(300), "nested too deeply", ""),
        (nested(100_000), "nested too deeply", ""),
        ([10**400], "servers cannot read an integer of 1329 bits", "$[0]"),
        pytest.param(10**5000, "servers cannot read an integer of", "$", id="5000 digits"),
    ],
)
def test_values_without_a_json_form_are_rejected(value: Any, reason: str, path: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_json(value, "input")
    assert str(caught.value).startswith("input cannot be sent: ")
    assert reason in str(caught.value)
    if path:
        assert str(caught.value).endswith(f"(at {path})")


def test_a_cyclic_value_is_rejected() -> None:
    value: list[Any] = []
    value.append({"again": value})
    with pytest.raises(InvalidArgumentError, match="nested too deeply"):
        check_json(value, "input")


@pytest.mark.parametrize("depth", [MAX_FIELD_DEPTH, MAX_INPUT_DEPTH, MAX_LOCAL_DEPTH])
def test_the_maximum_depth_is_exact(depth: int) -> None:
    fits, too_deep = nested(depth - 1), nested(depth)
    assert is_plain(fits, depth)
    assert not is_plain(too_deep, depth)
    assert check_json(fits, "input", max_depth=depth) == fits
    # A tuple exercises the code path that converts values.
    assert check_json({"a": tuple(nested(depth - 2))}, "input", max_depth=depth) == {"a": nested(depth - 2)}
    for value in (too_deep, {"a": tuple(nested(depth - 1))}):
        with pytest.raises(InvalidArgumentError, match=f"nested too deeply; the limit is {depth} levels"):
            check_json(value, "input", max_depth=depth)


def test_plain_json_is_returned_as_is_and_other_values_are_copied() -> None:
    plain = {"a": [1, 1.5, None, True, "text", {}]}
    assert check_json(plain, "input") is plain
    tuples = {"a": (1,)}
    assert check_json(tuples, "input") == {"a": [1]}
    assert tuples == {"a": (1,)}


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**53 - 1, 0])
def test_integers_that_every_server_keeps_are_accepted(value: int) -> None:
    assert check_json(value, "input", exact_integers=False) == value


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**64])
def test_integers_that_may_lose_precision_can_be_rejected(value: int) -> None:
    assert check_json([value], "input") == [value]
    with pytest.raises(InvalidArgumentError, match=r"exact only up to 2\*\*53.*\$\[0\]"):
        check_json([value], "input", exact_integers=False)


def test_encode_writes_compact_utf_8() -> None:
    assert to_json({"ä": [1, None, True, "\U0001f600"]}) == '{"ä":[1,null,true,"\U0001f600"]}'.encode()
    assert to_json({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


# Decoding


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", 1),
        ("-3.0", -3),
        ("1e3", 1000),
        ("0.0", 0),
        ("-0.0", -0.0),
        ("-0", 0),
        ("1.5", 1.5),
        ("9007199254740991.0", 9007199254740991),
        ("9007199254740992.0", 9007199254740992.0),
        ("-9007199254740992.0", -9007199254740992.0),
        ("9007199254740993", 9007199254740993),
        ("1e308", 1e308),
        ('"1.0"', "1.0"),
    ],
)
def test_whole_floats_are_decoded_as_integers(text: str, value: Any) -> None:
    number = decode(f'{{"a": [{text}]}}'.encode())["a"][0]
    assert type(number) is type(value)
    assert repr(number) == repr(value)


@pytest.mark.parametrize("content", [b"", b"NaN", b"[Infinity]", b"{", b"\xff", b"{'a': 1}", b"9" * 5000])
def test_invalid_json_is_rejected(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the subclasses differ; callers catch ValueError
        decode(content)


@QUICK
@given(VALUES)
def test_values_round_trip(value: Any) -> None:
    checked = check_json(value, "input")
    assert checked == value
    assert decode(to_json(checked)) == value


# Overrides


@pytest.mark.parametrize(
    ("overrides", "merged"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"steps": {}}, None),
        ({"a": {"input": {"x": 1}}}, {"a": {"value": {"input": {"x": 1}}}}),
        ({"a": {"value": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        ({"a": {"$type": "merge_patch", "value": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        ({"steps": {"a": {"value": {"input": 1}}}}, {"a": {"value": {"input": 1}}}),
        ({"steps": {"a": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        # A step may have the ID `steps`.
        ({"steps": {"input": 1}, "b": {"input": 2}}, {"steps": {"value": {"input": 1}}, "b": {"value": {"input": 2}}}),
        ({"a": {"value": 1, "input": 2}}, {"a": {"value": {"value": 1, "input": 2}}}),
        ({"a": {}}, {"a": {"value": {}}}),
        (
            [{"a": {"input": {"x": 1, "y": {"p": 1}}}}, {"steps": {"a": {"value": {"input": {"y": {"q": 2}}}}}}],
            {"a": {"value": {"input": {"x": 1, "y": {"p": 1, "q": 2}}}}},
        ),
        ([{"a": {"input": [1, 2]}}, {"a": {"input": [3]}}], {"a": {"value": {"input": [3]}}}),
        ([{"a": {"input": {"x": 1}}}, {"a": {"input": {"x": None}}}], {"a": {"value": {"input": {"x": None}}}}),
        (({"a": {"input": 1}}, {"b": {"input": 2}}), {"a": {"value": {"input": 1}}, "b": {"value": {"input": 2}}}),
        ([{}, {"a": {"input": 1}}], {"a": {"value": {"input": 1}}}),
    ],
)
def test_every_form_of_overrides_is_unified(overrides: Any, merged: Any) -> None:
    assert unify_overrides(overrides) == merged


@pytest.mark.parametrize(
    "overrides",
    [
        1,
        "a",
        True,
        [None],
        [[{"a": {}}]],
        {"a": 1},
        {"a": None},
        {"a": [1]},
        {1: {}},
        {"a": {"input": math.nan}},
        {"a": {"$type": "json_patch", "value": []}},
        {"a": {"$type": None, "value": {}}},
        {"steps": {"a": 1}},
        {"steps": 5},
    ],
)
def test_invalid_overrides_are_rejected(overrides: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        unify_overrides(overrides)


def test_merging_does_not_change_the_arguments() -> None:
    first, second = {"a": {"input": {"x": 1}}}, {"a": {"input": {"y": 2}}}
    unify_overrides([first, second])
    assert first == {"a": {"input": {"x": 1}}}
    assert second == {"a": {"input": {"y": 2}}}


NAMES = st.sampled_from(["a", "b", "c", "$step", "$literal"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60).map(float)
OUTPUTS = st.recursive(
    st.none() | st.booleans() | st.text("ab", max_size=2) | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def to_text(value: Any) -> str:
    """Return JSON text, so that comparisons include key order and number types."""
    return json.dumps(value)


def decode_by_parts(value: Any, decoder: OutputDecoder) -> Any:
    """Decode an output entry by entry, as a page does when its parts are expanded."""
    if not isinstance(value, (dict, list)):
        return decoder.restore_value(value)
    entries = [
        (key, decode_by_parts(each, child)) for key, each, child in decoder.iter_decoded_children(value, 0, len(value))
    ]
    return dict(entries) if isinstance(value, dict) else [each for _, each in entries]


@QUICK
@given(OUTPUTS, OUTPUTS, st.booleans())
def test_decoding_by_parts_equals_decoding_the_whole_output(output: Any, like: Any, keeps_order: bool) -> None:
    decoder = OutputDecoder(like, keeps_order=keeps_order, as_sent=True)
    assert decoder.restore_flow_output(output) is output
    assert decoder.restore_step_output(output) is output
    copied = deepcopy(output)
    parts = decode_by_parts(copied, decoder)
    assert to_text(parts) == to_text(decoder._replace(as_sent=False).restore_flow_output(deepcopy(output)))
    if isinstance(output, dict):
        for key in output:
            assert to_text(decoder.get_part_decoder([key]).restore_value(copied[key])) == to_text(parts[key])


def test_iter_entries_decodes_a_range() -> None:
    decoder = OutputDecoder({"c": 1, "a": [1, 2]}, keeps_order=False)
    output = {"a": [1.0, {"z": 1, "b": 2}], "b": 2.0, "c": 3.0}
    assert [key for key, _, _ in decoder.iter_decoded_children(output, 0, 2)] == ["c", "a"]
    assert [(key, each) for key, each, _ in decoder.iter_decoded_children(output, 2, 9)] == [("b", 2)]
    assert [(key, each) for key, each, _ in decoder.iter_decoded_children(output["a"], 1, 2)] == [(1, {"z": 1, "b": 2})]


def test_key_order_and_integers_are_restored_at_every_level() -> None:
    outputs = [
        {"b": 1.0, "a": [2.0, {"d": -0.0, "c": 3.5}]},
        {"a": None, "b": {"y": 1.0, "x": []}},
        {"z": 1.0},
        4.0,
        [5.0],
    ]
    assert to_text([restore_key_order(output) for output in outputs]) == (
        '[{"a": [2, {"c": 3.5, "d": -0.0}], "b": 1}, {"a": null, "b": {"x": [], "y": 1}}, {"z": 1}, 4, [5]]'
    )


@pytest.mark.parametrize("output", ["[1e999]", '{"a": 1e999}', '{"a": [1e999]}', '{"a": {"b": [[-1e999]]}}'])
def test_numbers_too_large_for_a_float_are_rejected(output: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        restore_key_order(decode_keeping_floats(output.encode()))


@QUICK
@given(VALUES | st.lists(VALUES, max_size=2))
def test_encode_if_plain_equals_encode(value: Any) -> None:
    assert encode_if_plain(value) in (None, to_json(value))


def test_encode_if_plain_accepts_only_plain_json() -> None:
    deep: Any = {"ä": ["é", {"n": 1.5, "large": 2**53, "none": None, "is": True}]}
    assert encode_if_plain(deep) == to_json(deep)
    for other in (float("nan"), 2**53 + 1, {1: 2}, (1, 2), {"a": {1}}, ExecutionStatus.COMPLETED):
        assert encode_if_plain([other]) is None
    for lone_surrogate in ("\ud800", {"a": ["\udc00"]}, {"\ud800": 1}):
        assert encode_if_plain(lone_surrogate) is None
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert encode_if_plain(cyclic) is None
