"""One ResponseReader parses consecutive responses of a connection, however the bytes are split."""

from __future__ import annotations

import pytest
from stepflow_client._http.http1_format import ConnectionBroken, ResponseReader, TooLarge

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
BODY = b'{"a":1}'
Read = tuple[int, dict[str, str], bytes, bool, bool]


def read(reader: ResponseReader, *pieces: bytes, max_bytes: int | None = 100, method: str = "GET") -> Read:
    reader.begin_response(method, max_bytes)
    for piece in pieces:
        reader.feed(piece)
    assert reader.complete
    return reader.status, dict(reader.headers), reader.take_body(), reader.keep_alive, reader.extra


def test_a_response_arrives_in_any_pieces() -> None:
    reader = ResponseReader()
    first = read(reader, HEAD + BODY)
    assert first == (200, {"content-type": "application/json", "content-length": "7", "x-a": "1, 2"}, BODY, True, False)
    for pieces in ((HEAD + BODY,), (HEAD, BODY), (HEAD + BODY[:3], BODY[3:]), (HEAD[:9], HEAD[9:] + BODY)):
        for each in (reader, ResponseReader()):
            assert read(each, *pieces) == first


def test_alternating_responses() -> None:
    reader = ResponseReader()
    for _ in range(3):
        read(reader, HEAD + BODY)
        other = HEAD.replace(b"200 OK", b"404 Not Found")
        assert read(reader, other, BODY)[:3] == (404, reader.headers, BODY)


@pytest.mark.parametrize("after", [b"x", HEAD + BODY], ids=["a byte", "another response"])
def test_bytes_after_the_response_are_noticed(after: bytes) -> None:
    reader = ResponseReader()
    read(reader, HEAD + BODY)
    assert read(reader, HEAD + BODY + after)[4] is True
    again = ResponseReader()
    assert read(again, HEAD + BODY)[4] is False
    again.feed(after)
    assert again.extra


def test_a_later_body_may_be_too_large() -> None:
    reader = ResponseReader()
    read(reader, HEAD + BODY)
    reader.begin_response("GET", 6)
    with pytest.raises(TooLarge):
        reader.feed(HEAD + BODY)


def test_a_truncated_body_is_an_error() -> None:
    reader = ResponseReader()
    read(reader, HEAD + BODY)
    reader.begin_response("GET", 100)
    reader.feed(HEAD + BODY[:-1])
    assert not reader.complete
    with pytest.raises(ConnectionBroken):
        reader.feed(b"")


def test_a_response_to_head_has_no_body() -> None:
    reader = ResponseReader()
    read(reader, HEAD + BODY)
    assert read(ResponseReader(), HEAD, method="HEAD")[2] == b""
