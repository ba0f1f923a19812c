"""What is said of a text that is no JSON: what is wrong, where, and how to write it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepflow_client._data.json_faults import JsonFault, explained


def fault_of(text: str) -> JsonFault:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    return explained(caught.value)


FAULTS = [
    ("  ", "it is empty", "write a value", 1, 1),
    ("{", "this { is not closed", "write } behind its last part", 1, 1),
    ('{"a": [1,\n', "this [ is not closed", "write ] behind its last part", 1, 7),
    ('{"a": [1, 2}', "this [ is not closed", "write ] behind its last part", 1, 7),
    ('{"a": 1]', "this { is not closed", "write } behind its last part", 1, 1),
    ('{"a": "}", "b": [', "this [ is not closed", "write ] behind its last part", 1, 17),
    ('{"a": 1,\n}', "nothing follows this comma", "remove the comma", 1, 8),
    ("[1, 2, ]", "nothing follows this comma", "remove the comma", 1, 6),
    ("[1,,2]", "nothing follows this comma", "remove the comma", 1, 3),
    ("{'a': 1}", "text is in double quotes, not in single ones", 'write "a"', 1, 2),
    ("['it\\'s']", "text is in double quotes, not in single ones", 'write "it\\\\\'s"', 1, 2),
    ("['a", "text is in double quotes, not in single ones", 'write " instead of it', 1, 2),
    ("{name: 1}", "a name needs double quotes", 'write "name"', 1, 2),
    ('{"a": on the way}', "text needs double quotes", 'write "on the way"', 1, 7),
    ("in.json", "text needs double quotes", 'write "in.json"', 1, 1),
    ('{"a": True}', "JSON does not know True", "write true", 1, 7),
    ("[None]", "JSON does not know None", "write null", 1, 2),
    ('{"a" 1}', "a name is followed by a colon", 'write "name": value', 1, 6),
    ('{"a"= 1}', "a name is followed by a colon", 'write "name": value', 1, 5),
    ('{"a": 1\n "b": 2}', "a comma is missing", "write , before this", 2, 2),
    ('{"a": "say "x" now"}', 'text follows the closing "', r'write a " inside of the text as \"', 1, 13),
    ('{"a": "x}', "this quote is not closed", 'write " at the end of the text', 1, 7),
    ('{"a": "x\ny"}', "a text cannot hold a line break or a tab", r"write them as \n and \t", 1, 9),
    (r'{"a": "C:\dir"}', "JSON does not know this escape", r"write a backslash as \\", 1, 10),
    ('{"a": 1}}', "text follows the end of the value", "remove it", 1, 9),
    ('{"a": 1}\n{"a": 2}', "another value begins here", "lines of JSON are a .jsonl file", 2, 1),
    ('{"a": 1, // one\n "b": 2}', "JSON has no comments", "# begins one", 1, 10),
    ("# c\n1", "JSON has no comments", "# begins one", 1, 1),
    ('{"a": }', "a value is missing before }", "write null", 1, 7),
    ("{: 1}", "a name is missing before :", "in double quotes", 1, 2),
    ('{"a": .5}', ".5 is not how JSON writes a number", "0. before a fraction", 1, 7),
    ("[01]", "01 is not how JSON writes a number", "a digit other than 0 first", 1, 2),
    ("[+1]", "+1 is not how JSON writes a number", "a + is not written", 1, 2),
    ("[“a”]", "this quote is a typographic one", 'write plain ones: "', 1, 2),
]


@pytest.mark.parametrize(("text", "reason", "hint", "line", "column"), FAULTS)
def test_faults(text: str, reason: str, hint: str, line: int, column: int) -> None:
    fault = fault_of(text)
    assert (fault.reason, fault.line, fault.column) == (reason, line, column)
    assert hint in (fault.hint or "")


@given(st.text(alphabet="{}[]\"',:/#\\ \n\t\x0b\xa0\ufeff01.+-eNTa“", max_size=12))
def test_any_text_has_an_explanation(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        fault = explained(error)
        assert fault.reason
        assert 1 <= fault.line <= text.count("\n") + 1
        assert 1 <= fault.column <= len(text) + 1
