"""Written YAML reads back as the same values with PyYAML and with this package."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st
from stepflow_client._data.yaml_format import read_yaml, write_yaml

LIKE_OTHER_TYPES = [
    "1e3", "1E5", "1e-3", "12e03", "+1e3", ".5e3", "+.5", "5e+2", "6E1", "0o17", ".5", "~",
    "yes", "no", "on", "off", "y", "null", "0x1f", "1_000", "12:30:45", ".inf", "-.inf", ".nan",
    "2020-01-01", "=", "<<", "0b1", "017", "+12", "1.", "-0", "true",
]  # fmt: skip
_TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(LIKE_OTHER_TYPES)
_SCALARS = (
    _TEXTS
    | st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_VALUES = st.recursive(_SCALARS, lambda each: st.lists(each) | st.dictionaries(_TEXTS, each), max_leaves=8)


@pytest.mark.parametrize("text", [*LIKE_OTHER_TYPES, "", "a: b", "- x", "x\n\ny  ", "\r\n", "\x85", "\u202eabc", "#"])
@pytest.mark.parametrize("wrapped", [lambda text: text, lambda text: {text: [text]}], ids=["alone", "nested"])
def test_strings_that_look_like_other_types_stay_strings(text: str, wrapped: Any) -> None:
    written = write_yaml(wrapped(text))
    assert yaml.safe_load(written) == read_yaml(written, "x") == wrapped(text)


@given(_VALUES)
def test_values_round_trip(value: Any) -> None:
    assert read_yaml(write_yaml(value), "x") == value


def test_bidirectional_controls_are_escaped() -> None:
    assert write_yaml(["a\u202eb\u2028"]) == '- "a\\u202eb\\L"\n'


def test_long_lines_are_not_folded_and_repeated_values_are_not_aliased() -> None:
    repeated = {"text": "word " * 100}
    assert write_yaml([repeated, repeated]).count("\n") == 2


def test_a_lone_surrogate_is_written_as_its_escape() -> None:
    assert yaml.safe_load(write_yaml("\ud800")) == "\\ud800"
