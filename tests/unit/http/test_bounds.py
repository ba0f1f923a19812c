"""Endless responses: the client stops reading at its limits, in bounded time."""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidResponseError, RequestTimeoutError, RunTimeoutError
from stepflow_client._http.http1_format import MAX_FIELDS, MAX_HEAD_LENGTH, MAX_INTERIM_RESPONSES, ResponseReader

from tests.raw_server import BODY, HEALTHY, OK, Conversation, RawServer, answers
from tests.unit.both_twins import CALLS, EVENT, RUN_ID, TWINS, URL, call

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
TEXT = b"x" * 65536


class Endless:
    """A prefix, followed by the same bytes forever."""

    def __init__(self, prefix: bytes, *pieces: bytes) -> None:
        self.prefix = prefix
        self.repeated = b"".join(pieces) * (65536 // len(b"".join(pieces)) + 1)

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain([self.prefix], itertools.repeat(self.repeated))


class Numbered:
    """A prefix, followed by an endless series of different header fields."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix

    def __iter__(self) -> Iterator[bytes]:
        fields = (b"".join(b"x-%d-%d: y\r\n" % (number, each) for each in range(100)) for number in itertools.count())
        return itertools.chain([self.prefix], fields)


ENDLESS: dict[str, Iterable[bytes]] = {
    "the status line": Endless(b"HTTP/1.1 200 ", b"x"),
    "empty lines before it": Endless(b"\r\n", b"\r\n"),
    "headers": Numbered(OK),
    "one repeated header": Endless(OK, b"x-a: y\r\n"),
    "the name of a header": Endless(OK + b"x", b"x"),
    "the value of a header": Endless(OK + b"x-a: ", b"y"),
    "folded lines of a header": Endless(OK + b"x-a: y\r\n", b" y\r\n"),
    "interim responses": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim responses with headers": Endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
    "trailers": Numbered(CHUNKED + b"2\r\n{}\r\n0\r\n"),
    "the name of a trailer": Endless(CHUNKED + b"2\r\n{}\r\n0\r\nx", b"x"),
    "the value of a trailer": Endless(CHUNKED + b"2\r\n{}\r\n0\r\nx-a: ", b"y"),
    "an extension of a chunk": Endless(CHUNKED + b"2;x=", b"y"),
    "a body without a length": Endless(OK + b"\r\n", b" "),
    "a body in chunks": Endless(CHUNKED, b"10000\r\n", TEXT, b"\r\n"),
    "a body in the smallest chunks": Endless(CHUNKED, b"1\r\n \r\n"),
    "a huge declared length": [OK + b"content-length: 1000000000000\r\n\r\n"],
}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", ENDLESS)
def test_endless_responses_are_bounded(twin: str, case: str) -> None:
    with RawServer(answers(ENDLESS[case])) as server:
        started = time.monotonic()
        with pytest.raises(InvalidResponseError):
            call(twin, None, CALLS["health_check"], server.url, max_response_bytes=1024 * 1024)
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("twin", TWINS)
def test_an_unrequested_protocol_switch_is_rejected(twin: str) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x00\x01"
    with RawServer(answers(switching)) as server, pytest.raises(InvalidResponseError, match="another protocol"):
        call(twin, None, CALLS["health_check"], server.url)


def test_a_response_at_the_limits_is_accepted() -> None:
    reader = ResponseReader()
    reader.begin_response("GET", 10)
    reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_INTERIM_RESPONSES + b"HTTP/1.1 200 OK\r\n")
    reader.feed(b"x-a: y\r\n" * (MAX_FIELDS - 2) + b"x-b: " + b"y" * 65536 + b"\r\n")
    reader.feed(b"content-length: 10\r\n\r\n0123456789")
    assert reader.complete
    assert reader.take_body() == b"0123456789"
    assert reader.headers["x-a"] == ", ".join("y" * (MAX_FIELDS - 2))
    assert len(reader.headers["x-b"]) < MAX_HEAD_LENGTH


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_trailers_are_kept_apart_from_headers(size: int) -> None:
    reader = ResponseReader()
    stream = CHUNKED + b"2\r\n{}\r\n0\r\ncontent-type: text/html\r\nx-blob-type: flow\r\n\r\n"
    for _ in range(2):
        reader.begin_response()
        for start in range(0, len(stream), size):
            reader.feed(stream[start : start + size])
        assert reader.complete
        assert reader.headers == {"content-type": "application/json", "transfer-encoding": "chunked"}
        assert reader.trailers == {"content-type": "text/html", "x-blob-type": "flow"}
        assert (reader.take_body(), reader.extra, reader.keep_alive) == (b"{}", False, True)


@pytest.mark.parametrize("twin", TWINS)
def test_trailers_do_not_change_a_response(twin: str) -> None:
    chunked = CHUNKED + b"%x\r\n%b\r\n0\r\ncontent-type: text/html\r\nlocation: /\r\n\r\n" % (len(BODY), BODY)
    with RawServer(answers(chunked)) as server:
        assert call(twin, None, CALLS["health_check"], server.url).status == "healthy"


def test_tiny_chunks_do_not_multiply_memory_use() -> None:
    reader = ResponseReader()
    reader.feed(CHUNKED)
    for _ in range(5_000):
        reader.feed(b"1\r\nx\r\n" * 10)
        reader.feed(b"1\r\nx\r\n")
    assert sys.getsizeof(reader._body) < 2 * 55_000
    assert reader.take_body() == b"x" * 55_000


DRIPS: dict[str, tuple[bytes, bytes, float]] = {
    "a body in the smallest chunks": (CHUNKED, b"1\r\n \r\n" * 1000, 0),
    "a byte at a time": (OK + b"content-length: 100000\r\n\r\n", b" ", 0.02),
    "a header at a time": (OK, b"x-a: b\r\n", 0.02),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.2),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", DRIPS)
def test_the_deadline_holds_while_the_server_keeps_sending(twin: str, case: str) -> None:
    prefix, piece, pause = DRIPS[case]

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(prefix)
        while True:
            conversation.say(piece)
            time.sleep(pause)

    with RawServer(talk) as server:
        started = time.monotonic()
        with pytest.raises((RunTimeoutError, RequestTimeoutError)):
            call(twin, None, lambda client: client.get_result(RUN_ID, timeout=0.5), server.url, server_release="0.13")
        assert time.monotonic() - started < 30


# Events

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
ENDLESS_EVENTS: dict[str, Iterable[bytes]] = {
    "a line": Endless(EVENTS + b"data: ", b"x"),
    "lines": Endless(EVENTS, b"data: x\n"),
}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", ENDLESS_EVENTS)
def test_endless_events_are_bounded(twin: str, case: str) -> None:
    with RawServer(answers(ENDLESS_EVENTS[case])) as server, pytest.raises(InvalidResponseError, match="an event has"):
        call(twin, None, CALLS["run_events"], server.url, server_release="0.13", max_response_bytes=1024 * 1024)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_limit_does_not_apply_to_a_whole_stream(twin: str, end: bytes) -> None:
    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(EVENTS)
        for number in range(1, 400):
            started = {"runId": RUN_ID, "stepId": "a" * 1000, "itemIndex": 0, "stepIndex": 0}
            frame = {**EVENT, "sequenceNumber": number, "event": {"StepStarted": started}}
            # The blank line that ends an event arrives in pieces.
            for piece in (b"data: " + json.dumps(frame).encode(), end, end):
                conversation.say(piece)
        conversation.say(b"data: " + json.dumps({**EVENT, "sequenceNumber": 400}).encode() + end * 2)

    with RawServer(talk) as server:
        events = call(twin, None, CALLS["run_events"], server.url, server_release="0.13", max_response_bytes=100_000)
    assert len(events) == 400


# Over httpx


@pytest.mark.parametrize("twin", TWINS)
def test_the_decompressed_size_is_bounded(twin: str) -> None:
    compressed = gzip.compress(b" " * 50_000_000)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(compressed))

    with pytest.raises(InvalidResponseError, match="too large"):
        call(twin, httpx.MockTransport(answer), CALLS["health_check"], URL, max_response_bytes=1_000_000)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "1", None])
@pytest.mark.parametrize("twin", TWINS)
def test_invalid_limits_are_rejected(twin: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_response_bytes must be an integer of at least 1"):
        call(twin, None, CALLS["health_check"], max_response_bytes=wrong)


# Compression and HEAD


@pytest.mark.parametrize("twin", TWINS)
def test_no_compression_is_requested(twin: str) -> None:
    with RawServer(answers(HEALTHY)) as server:
        call(twin, None, CALLS["health_check"], server.url)
        assert b"\r\naccept-encoding: identity\r\n" in server.conversations[0].requests[0]


@pytest.mark.parametrize("twin", TWINS)
def test_the_callers_headers_replace_the_default_ones(twin: str) -> None:
    headers = {"Host": "flows.example", "User-Agent": "letters", "Accept-Encoding": "gzip"}
    with RawServer(answers(HEALTHY)) as server:
        call(twin, None, CALLS["health_check"], server.url, headers=headers)
        head = server.conversations[0].requests[0].lower()
    # Responses are not decompressed, so compression is not requested, even then.
    for line in (b"host: flows.example", b"user-agent: letters", b"accept-encoding: identity"):
        assert (head.count(b"\r\n" + line.partition(b" ")[0]), b"\r\n" + line + b"\r\n" in head) == (1, True)


@pytest.mark.parametrize("twin", TWINS)
def test_a_response_to_head_has_no_body(twin: str) -> None:
    with RawServer(answers(OK + b"content-length: 1000\r\n\r\n")) as server:

        async def send_head(client: Any) -> httpx.Response:
            return await client.api.get_async_httpx_client().head("/health")

        operation = send_head if twin == "async" else lambda client: client.api.get_httpx_client().head("/health")
        started = time.monotonic()
        response = call(twin, None, operation, server.url, server_release="0.13", timeout=30)
        assert (response.status_code, response.content) == (200, b"")
        assert time.monotonic() - started < 25
