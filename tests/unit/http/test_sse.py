"""EventDecoder parses server-sent events, however the bytes are split, and limits their size."""

from __future__ import annotations

import collections
import itertools

import pytest
from hypothesis import given, strategies as st
from stepflow_client._http.http1_format import EventDecoder, TooLarge

STREAM = (
    b"\xef\xbb\xbf: a comment\n\ndata: one\n\ndata:two\r\n\r\ndata: a\rdata: b\r\rid: \x00\nretry: soon\nevent: e\n"
    b"data: {\xc3\xa9}\nnonsense\n\ndata\n\nevent: nothing\n\ndata: \ndata: \n\ndata: without an end"
)
EVENTS = [b"one", b"two", b"a\nb", b"{\xc3\xa9}", b"\n"]


def test_events() -> None:
    assert EventDecoder().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events(positions: list[int]) -> None:
    decoder, events, begin = EventDecoder(), [], 0
    for end in [*sorted(positions), len(STREAM)]:
        events += decoder.feed(STREAM[begin:end])
        begin = end
    assert events == EVENTS


def test_byte_by_byte() -> None:
    decoder = EventDecoder()
    assert [event for place in range(len(STREAM)) for event in decoder.feed(STREAM[place : place + 1])] == EVENTS


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: " + b"x" * 100, b": " + b"x" * 100, b"data: x\n", b"data\n"])
def test_endless_events_are_refused(piece: bytes) -> None:
    decoder = EventDecoder(max_bytes=10_000)
    with pytest.raises(TooLarge, match="more than 10000 bytes"):
        collections.deque(map(decoder.feed, itertools.repeat(piece, 10_001)))


def test_the_limit_applies_to_each_event() -> None:
    decoder = EventDecoder(max_bytes=100)
    assert decoder.feed(b"data: 0123456789\n\n" * 1000) == [b"0123456789"] * 1000
    assert decoder.feed(b": comment\n" * 1000) == []
