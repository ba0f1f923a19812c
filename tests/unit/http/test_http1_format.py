"""ResponseReader splits responses that arrive byte by byte or several at once; deadlines limit each phase."""

from __future__ import annotations

import time

import pytest
from stepflow_client._http.http1_format import ConnectionBroken, HttpRequest, NotHttp, ResponseReader
from stepflow_client._http.settings import Timeouts

FIRST = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst"
EXTRA = {
    "another response": b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 6\r\nx: y\r\n\r\nsecond",
    "the same response": FIRST,
    "half a response": b"HTTP/1.1 500 Int",
    "garbage": b"\x00\xff garbage",
    "a line": b"\r\n",
}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_bytes_after_a_response_are_not_part_of_it(extra: bytes, size: int) -> None:
    reader = ResponseReader()
    stream = FIRST + extra
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    assert (reader.status, reader.take_body(), reader.headers) == (200, b"first", {"content-length": "5"})
    assert reader.complete
    # Such a connection is not reused. (An empty line between responses is allowed.)
    assert reader.extra or extra == b"\r\n"


def test_consecutive_responses() -> None:
    reader = ResponseReader()
    for number in range(3):
        reader.begin_response()
        reader.feed(b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n")
        reader.feed(b"HTTP/1.1 20%d OK\r\ncontent-length: 1\r\n\r\n%d" % (number, number))
        assert (reader.status, reader.take_body(), reader.extra) == (200 + number, b"%d" % number, False)
        assert reader.keep_alive


def test_invalid_and_incomplete_responses() -> None:
    with pytest.raises(NotHttp):
        ResponseReader().feed(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(ConnectionBroken, match="without a response"):
        ResponseReader().feed(b"")
    reader = ResponseReader()
    reader.feed(FIRST[:-1])
    with pytest.raises(ConnectionBroken, match="in the middle"):
        reader.feed(b"")


def test_the_deadline_limits_each_phase() -> None:
    assert HttpRequest("GET", "/health").get_seconds_allowed(30.0) == 30.0
    now = time.monotonic()
    assert 10 < HttpRequest("GET", "/health", deadline=now + 20).get_seconds_allowed(30.0) <= 20
    assert HttpRequest("GET", "/health", deadline=now + 60).get_seconds_allowed(30.0) == 30.0
    assert 0 < HttpRequest("GET", "/health", deadline=now - 60).get_seconds_allowed(30.0) < 0.01


def test_no_phase_exceeds_the_total_timeout() -> None:
    assert Timeouts(1, 30, 3, 600).at_most(2) == Timeouts(1, 2, 2, 2, 2)
