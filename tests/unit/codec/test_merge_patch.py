"""JSON merge patches turn one value into another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from stepflow_client._data.wire import apply_patch, make_merge_patch

SCALARS = st.booleans() | st.integers(-2, 2) | st.text("ab$", max_size=2)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner | st.none(), max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_a_patch_turns_one_value_into_the_other(before: Any, after: Any) -> None:
    patched = apply_patch(before, make_merge_patch(before, after))
    assert json.dumps(patched, sort_keys=True) == json.dumps(after, sort_keys=True)


def test_a_patch_has_only_what_changed() -> None:
    before = {"a": {"$input": "x"}, "b": 1, "c": {"d": 1, "e": 2}}
    assert make_merge_patch(before, {"a": 5, "c": {"d": 1, "e": 3}}) == {"a": 5, "b": None, "c": {"e": 3}}
    assert make_merge_patch(before, before) == {}
    assert make_merge_patch({"a": True}, {"a": 1}) == {"a": 1}


def test_a_patch_cannot_set_a_key_to_null() -> None:
    with pytest.raises(ValueError, match="'a' cannot become null"):
        make_merge_patch({"a": 1}, {"a": None})
    assert make_merge_patch({"a": None}, {"a": None}) == {}
