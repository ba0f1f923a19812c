"""Run search queries are parsed into words and fields."""

from __future__ import annotations

import pytest
from stepflow_client._rules.run_queries import RunQuery, parse_run_query, quote_word


@pytest.mark.parametrize(
    ("text", "words", "fields"),
    [
        ("", (), {}),
        ("customer=42 order", ("customer=42", "order"), {}),
        ("flow:order since:2026-11-24T14:00 late", ("late",), {"flow": "order", "since": "2026-11-24T14:00"}),
        ('flow:"my flow" "not found"', ("not found",), {"flow": "my flow"}),
        ("error:x http://host status:", ("error:x", "http://host"), {}),
        ('"', ('"',), {}),
        ('a"b c"', ('a"b', 'c"'), {}),
        ("flow:a flow:b", (), {"flow": "b"}),
    ],
)
def test_parse_words_and_fields(text: str, words: tuple[str, ...], fields: dict[str, str]) -> None:
    query = parse_run_query(text)
    assert query == RunQuery(words, fields)
    assert parse_run_query(str(query)) == query


def test_a_quoted_text_is_one_word() -> None:
    assert (quote_word("plain"), quote_word("two words"), quote_word("flow:x")) == ("plain", '"two words"', '"flow:x"')
