"""Explanations of JSON syntax errors name the problem, its position and the fix."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st
from stepflow_client._data.syntax_faults import Fault, explain_json_error


def fault_of(text: str) -> Fault:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    return explain_json_error(caught.value)


FAULTS = [
    ("  ", "it is empty", "write a value", 1, 1),
    ("{", "this { is not closed", "write } after its last part", 1, 1),
    ('{"a": [1,\n', "this [ is not closed", "write ] after its last part", 1, 7),
    ('{"a": [1, 2}', "this [ is not closed", "write ] after its last part", 1, 7),
    ('{"a": 1]', "this { is not closed", "write } after its last part", 1, 1),
    ('{"a": "}", "b": [', "this [ is not closed", "write ] after its last part", 1, 17),
    ('{"a": 1,\n}', "trailing comma", "remove the comma", 1, 8),
    ("[1, 2, ]", "trailing comma", "remove the comma", 1, 6),
    ("[1,,2]", "trailing comma", "remove the comma", 1, 3),
    ("{'a': 1}", "strings need double quotes, not single quotes", 'write "', 1, 2),
    ("'{\"a\": 1}'", "strings need double quotes, not single quotes", "do not quote the whole value", 1, 1),
    ('{"a": "x}', "this quote is not closed", 'add " at the end of the string', 1, 7),
    ('{"a": 1, // one\n "b": 2}', "JSON has no comments", "write YAML", 1, 10),
    ("# c\n1", "JSON has no comments", "write YAML", 1, 1),
    (r"{\"a\": 1}", "there is a backslash before the quote", "remove the backslash", 1, 2),
    # The parser's own messages.
    ("{name: 1}", "expecting property name enclosed in double quotes", "", 1, 2),
    ('{"a":  on}', "expecting value", "write text in double quotes", 1, 8),
    ('{"a" 1}', "expecting ':' delimiter", "", 1, 6),
    ('{"a": 1\n "b": 2}', "expecting ',' delimiter", "", 2, 2),
    ('{"a": "x\ny"}', "invalid control character", "", 1, 9),
    ('{"a": 1}\n{"a": 2}', "extra data", "", 2, 1),
]


@pytest.mark.parametrize(("text", "reason", "hint", "line", "column"), FAULTS)
def test_faults_are_explained(text: str, reason: str, hint: str, line: int, column: int) -> None:
    fault = fault_of(text)
    assert (fault.reason, fault.line, fault.column) == (reason, line, column)
    assert hint in (fault.hint or "")


@given(st.text(alphabet="{}[]\"',:/#\\ \n\t\x0b\xa0\ufeff01.+-eNTa“", max_size=12))
def test_any_text_has_an_explanation(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        fault = explain_json_error(error)
        assert fault.reason
        assert fault.line is not None
        assert fault.column is not None
        assert 1 <= fault.line <= text.count("\n") + 1
        assert 1 <= fault.column <= len(text) + 1
