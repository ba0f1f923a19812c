"""Custom transports and credentials: calls are bounded in time and memory, and raise the client's own errors."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from stepflow_client import (
    InvalidArgumentError,
    InvalidResponseError,
    RequestTimeoutError,
    RunTimeoutError,
    ServerConnectionError,
    StepflowClientError,
)

from tests.scripted_server import Answer, listening, message, sending
from tests.unit.both_twins import CALLS, EVENT, HEALTH, RUN_ID, TWINS, Server, call, call_with_handler
from tests.unit.codec.test_secrets import all_text_of

MIB = 1024 * 1024
OVERRUN = 20
"""Seconds by which a call may exceed its timeout, generous for a busy machine."""
RUNS = b'{"runs": []}'
FRAME = f"data: {json.dumps(EVENT)}\n\n".encode()
Operation = Callable[[Any], Any]


def over_httpx(twin: str, port: int, operation: Operation, **settings: Any) -> Any:
    """Call a client that sends through an httpx transport to a port of this machine."""
    # Without CA certificates, which are slow to load.
    transport = httpx.AsyncHTTPTransport(verify=False) if twin == "async" else httpx.HTTPTransport(verify=False)
    return call(twin, transport, operation, f"http://127.0.0.1:{port}", **{"server_release": "0.13.0", **settings})


def over_own_connections(twin: str, port: int, operation: Operation, **settings: Any) -> Any:
    """Call a client that sends through its own connections."""
    return call(twin, None, operation, f"http://127.0.0.1:{port}", **{"server_release": "0.13.0", **settings})


def list_runs(client: Any) -> Any:
    return client.list_runs()


def wait(seconds: float) -> Operation:
    return lambda client: client.wait_run(RUN_ID, timeout=seconds)


@pytest.fixture(scope="module", autouse=True)
def import_everything() -> None:
    """Make a call first, so that no test measures the imports of the first call."""
    for twin in TWINS:
        with listening(sending(message(json.dumps(HEALTH).encode()))) as port:
            assert over_httpx(twin, port, CALLS["health_check"], server_release=None).status == "healthy"


# Deadlines


def drip_forever(head: bytes, drop: bytes) -> Answer:
    """Send the head, then repeat the drop forever, each in time for a read timeout."""

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return answer


def silent(connection: socket.socket, request: bytes) -> None:
    connection.recv(1)


DRIPS = {
    "silence": silent,
    "status line": drip_forever(b"", b"H"),
    "headers": drip_forever(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "interim responses": drip_forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": drip_forever(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b" "),
    "chunks": drip_forever(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "the size of a chunk": drip_forever(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0"),
    "compressed nothing": drip_forever(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
        b"a\r\n" + gzip.compress(b"")[:10] + b"\r\n",
        b"5\r\n\x00\x00\x00\xff\xff\r\n",
    ),
}  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("drip", DRIPS)
def test_a_slow_server_cannot_delay_a_call_past_its_deadline(twin: str, drip: str) -> None:
    with listening(DRIPS[drip]) as port:
        started = time.monotonic()
        with pytest.raises(StepflowClientError) as caught:
            over_httpx(twin, port, wait(0.4))
        took = time.monotonic() - started
    assert isinstance(caught.value, (RunTimeoutError, InvalidResponseError))
    assert took < 0.4 + OVERRUN


class Hanging(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A transport that hangs before the response (`head`) or in its `body`."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.cancelled = 0

    async def _maybe_hang(self, where: str) -> None:
        if where == self._where:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._maybe_hang("head")
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        await self._maybe_hang("body")
        yield b"}"


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_hanging_transport_is_cancelled_at_the_deadline(where: str) -> None:
    transport = Hanging(where)
    started = time.monotonic()
    with pytest.raises(RunTimeoutError):
        call("async", transport, wait(0.5), server_release="0.13.0")
    assert time.monotonic() - started < 0.5 + OVERRUN
    assert transport.cancelled


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_hanging_transport_is_cancelled_at_the_client_timeout(where: str) -> None:
    transport = Hanging(where)
    timeout = httpx.Timeout(0.1)
    with pytest.raises(RequestTimeoutError):
        call("async", transport, list_runs, server_release="0.13.0", timeout=timeout)
    assert transport.cancelled


def test_a_response_is_returned_even_if_closing_it_hangs() -> None:
    class HangingEnd(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield RUNS

        async def aclose(self) -> None:
            await asyncio.Event().wait()

    started = time.monotonic()
    assert (
        call_with_handler(
            "async", lambda request: httpx.Response(200, stream=HangingEnd()), list_runs, server_release="0.13.0"
        ).runs
        == []
    )
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("operation", [list_runs, wait(0.5)], ids=["client timeout", "call timeout"])
def test_waiting_for_a_token_counts_towards_the_timeout(operation: Operation) -> None:
    async def never() -> str:
        await asyncio.sleep(60)
        return "token"

    server = Server()
    started = time.monotonic()
    with pytest.raises((RequestTimeoutError, RunTimeoutError)) as caught:
        call("async", httpx.MockTransport(server), operation, auth=never, server_release="0.13.0", timeout=0.5)
    assert time.monotonic() - started < 0.5 + OVERRUN
    assert server.request_lines == []
    if isinstance(caught.value, RequestTimeoutError):
        assert not caught.value.was_sent
        assert "credentials" in str(caught.value)


def test_waiting_for_an_httpx_auth_counts_towards_the_timeout() -> None:
    class Slow(httpx.Auth):
        async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
            await asyncio.sleep(60)
            yield request

    with pytest.raises(RequestTimeoutError, match="timed out waiting for the credentials from auth"):
        call_with_handler("async", Server(), list_runs, auth=Slow(), server_release="0.13.0", timeout=0.2)


def test_a_late_token_is_not_sent() -> None:
    def late() -> str:
        time.sleep(0.3)
        return "token"

    server = Server()
    with pytest.raises(RunTimeoutError):
        call_with_handler("sync", server, wait(0.1), auth=late, server_release="0.13.0")
    assert server.request_lines == []


# Failing and invalid credentials


class Failing(httpx.Auth):
    def __init__(self, error: Exception) -> None:
        self._error = error

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise self._error
        yield request


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("error", [ValueError("hush"), OSError("hush"), KeyError("hush"), RuntimeError("hush")])
def test_failing_credentials_raise_invalid_argument_error(twin: str, error: Exception) -> None:
    def token() -> str:
        raise error

    for auth in (token, Failing(error)):
        server = Server()
        with pytest.raises(InvalidArgumentError, match=f"auth failed: {type(error).__name__}") as caught:
            call_with_handler(twin, server, list_runs, auth=auth, server_release="0.13.0")
        assert caught.value.__cause__ is error
        assert server.request_lines == []
        assert "hush" not in str(caught.value)


class AddHeader(httpx.Auth):
    def __init__(self, name: str, value: str) -> None:
        self._field = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        name, value = self._field
        request.headers[name] = value
        yield request


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x y", "hush"),
        ("x\r\nhost", "hush"),
        ("x:", "hush"),
        ("", "hush"),
        ("x-ä", "hush"),
        ("x-key", "hush\r\nhost: other"),
        ("x-key", "hush\x00"),
        ("x-key", "hush\ud800"),
        ("x-\ud800", "hush"),
        ("x-key", "hushä"),
    ],
    ids=ascii,
)
def test_headers_of_an_httpx_auth_are_checked(twin: str, name: str, value: str) -> None:
    for call_name in ("list_runs", "run_events"):
        server = Server()
        with pytest.raises(InvalidArgumentError) as caught:
            call_with_handler(twin, server, CALLS[call_name], auth=AddHeader(name, value), server_release="0.13.0")
        assert server.request_lines == []
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    "settings",
    [
        {"auth": "hush\ud800"},
        {"auth": ("hush\ud800", "hush")},
        {"auth": ("hush", "hush\ud800")},
        {"auth": lambda: "hush\ud800"},
        {"headers": {"x-key": "hush\ud800"}},
        {"headers": {"x-\ud800": "hush"}},
        {"url": "http://hush\ud800:hush@server"},
        {"url": "http://hush:hush\ud800@server"},
    ],
    ids=["token", "user", "password", "callable", "value", "name", "user of the URL", "password of the URL"],
)
def test_lone_surrogates_in_credentials(twin: str, settings: dict[str, Any]) -> None:
    server = Server()
    with pytest.raises(InvalidArgumentError) as caught:
        call_with_handler(twin, server, list_runs, **settings)
    assert server.request_lines == []
    assert "hush" not in all_text_of(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_credentials_in_other_alphabets_are_sent(twin: str) -> None:
    server = Server()
    call_with_handler(twin, server, list_runs, auth=("mü", "пароль"), server_release="0.13.0")
    assert server.requests[0].headers["authorization"] == httpx.BasicAuth("mü", "пароль")._auth_header


# Unreadable responses

UNREADABLE = {
    "damaged gzip": (b"\x1f\x8bnonsense", "gzip"),
    "not gzip": (RUNS, "gzip"),
    "truncated gzip": (gzip.compress(RUNS)[:-10], "gzip"),
    "not deflate": (RUNS, "deflate"),
    "brotli": (b"\x0b\x05\x80", "br"),
    "zstd": (b"(\xb5/\xfd", "zstd"),
    "twice compressed": (gzip.compress(gzip.compress(RUNS)), "gzip, gzip"),
    "unknown": (RUNS, "rot13\xe4"),
}
SENDERS = {"own": over_own_connections, "httpx": over_httpx}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_response_that_cannot_be_decompressed(twin: str, sender: str, case: str) -> None:
    body, encoding = UNREADABLE[case]
    if sender == "own" and body == RUNS:
        # Valid JSON would be accepted without decompression.
        body = b"no JSON"
    answer = sending(message(body, f"content-encoding: {encoding}"))
    with listening(answer) as port, pytest.raises(InvalidResponseError):
        SENDERS[sender](twin, port, list_runs)
    events = message(body, f"content-encoding: {encoding}", content_type="text/event-stream")
    with listening(sending(events)) as port, pytest.raises(InvalidResponseError, match="cannot be read"):
        SENDERS[sender](twin, port, CALLS["run_events"])


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/event-stream; charset=hex",
        "text/event-stream; charset=base64",
        "text/event-stream; charset=undefined",
        "text/event-stream; charset=idna",
        "text/event-stream; charset=utf-16",
        "text/event-stream; charset=no-such",
        "text/event-stream; charset=\xe4",
        "Text/Event-Stream;charset=rot13",
    ],
)
def test_events_are_utf_8_whatever_the_declared_charset(twin: str, sender: str, content_type: str) -> None:
    with listening(sending(message(FRAME, content_type=content_type))) as port:
        events = SENDERS[sender](twin, port, CALLS["run_events"])
    assert [event.type for event in events] == ["run_completed"]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    "content_type",
    ["", ";", "application/json; charset=hex", "text/html", "x-text/event-stream", "text/event-streams", "\xe4\x7f"],
)
def test_odd_content_types_instead_of_events(twin: str, sender: str, content_type: str) -> None:
    with listening(sending(message(FRAME, content_type=content_type))) as port, pytest.raises(InvalidResponseError):
        SENDERS[sender](twin, port, CALLS["run_events"])


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("content_type", ["", "application/json; charset=hex", "text/x; charset=undefined", "\xe4"])
def test_odd_content_types_of_responses(twin: str, sender: str, content_type: str) -> None:
    for status, body in product((200, 404, 500), (b"\xff\xfe{", b'{"a": "\xe4"}', b"\xed\xa0\x80")):
        answer = sending(message(body, status=status, content_type=content_type))
        with listening(answer) as port, pytest.raises(StepflowClientError):
            SENDERS[sender](twin, port, list_runs)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("compress", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "X-GZIP"),
        (lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]), "gzip"),
        (zlib.compress, "deflate"),
        (raw_deflate, "deflate"),
        (bytes, "identity"),
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "raw deflate", "identity"],
)
def test_unrequested_compression_is_decoded(twin: str, compress: Callable[[bytes], bytes], encoding: str) -> None:
    heads: list[bytes] = []
    big = b'{"runs": [' + b" " * (5 * MIB) + b"]}"

    def answer(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(message(compress(big), f"content-encoding: {encoding}"))

    with listening(answer) as port:
        assert over_httpx(twin, port, list_runs).runs == []
    assert b"accept-encoding: identity" in heads[0].lower()
    with listening(
        sending(message(compress(FRAME), f"content-encoding: {encoding}", content_type="text/event-stream"))
    ) as port:
        for sender in SENDERS.values():
            assert [event.type for event in sender(twin, port, CALLS["run_events"])] == ["run_completed"]


def bomb(size: int) -> bytes:
    """Return a few kilobytes that decompress to many megabytes."""
    compressor = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(compressor.compress(bytes(MIB)) for _ in range(size)) + compressor.flush()


@pytest.mark.parametrize("twin", TWINS)
def test_the_decompressed_size_is_bounded(twin: str) -> None:
    compressed = bomb(64)
    assert len(compressed) < MIB
    with listening(sending(message(compressed, "content-encoding: gzip"))) as port:
        tracemalloc.start()
        try:
            with pytest.raises(InvalidResponseError, match="too large: it has more than 8388608 bytes") as caught:
                over_httpx(twin, port, list_runs, max_response_bytes=8 * MIB)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert "max_response_bytes" in (caught.value.hint or "")
    assert peak < 32 * MIB


@pytest.mark.parametrize("twin", TWINS)
def test_the_size_of_a_response_is_bounded(twin: str) -> None:
    body = b'{"runs": [' + b" " * 1000 + b"]}"
    with listening(sending(message(body))) as port:
        assert over_httpx(twin, port, list_runs, max_response_bytes=len(body)).runs == []
        with pytest.raises(InvalidResponseError, match="too large"):
            over_httpx(twin, port, list_runs, max_response_bytes=len(body) - 1)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [200, 404])
def test_an_endless_response_instead_of_events(twin: str, status: int) -> None:
    def endless(connection: socket.socket, head: bytes) -> None:
        connection.sendall(f"HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\n\r\n".encode())
        while True:
            connection.sendall(b"x" * 65_536)

    for sender in SENDERS.values():
        with listening(endless) as port, pytest.raises(StepflowClientError):
            sender(twin, port, lambda client: client.run_events(RUN_ID), timeout=2)


# Errors of transports

FOREIGN = [
    ValueError("x"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    LookupError("unknown encoding: x"),
    zlib.error("x"),
    KeyError("x"),
    RuntimeError("Event loop is closed"),
    ArithmeticError("x"),
    EOFError("x"),
    AttributeError("x"),
    NotImplementedError("x"),
    httpx.DecodingError("x"),
    httpx.StreamClosed(),
    httpx.TooManyRedirects("x"),
    httpx.CookieConflict("x"),
]
BROKEN = [OSError("x"), ConnectionResetError("x"), BrokenPipeError("x"), httpx.ReadError("x"), httpx.CloseError("x")]
LATE = [TimeoutError("x"), httpx.ReadTimeout("x")]


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that fails in the middle or on close."""

    def __init__(self, error: Exception, at_close: bool = False) -> None:
        self._error = error
        self._at_close = at_close

    def __iter__(self) -> Iterator[bytes]:
        yield RUNS[:5]
        if not self._at_close:
            raise self._error
        yield RUNS[5:]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for each in self:
            yield each

    def close(self) -> None:
        if self._at_close:
            raise self._error

    async def aclose(self) -> None:
        self.close()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("where", "error"),
    # An event stream that breaks or times out continues on another connection.
    [(where, error) for where in ("head", "body") for error in (*FOREIGN, *BROKEN, *LATE)]
    + [("events", error) for error in FOREIGN],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_transport_exceptions_become_client_errors(twin: str, where: str, error: Exception) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if where == "head":
            raise error
        kind = "text/event-stream" if where == "events" else "application/json"
        return httpx.Response(200, headers={"content-type": kind}, stream=Body(error))

    operation = CALLS["run_events"] if where == "events" else list_runs
    with pytest.raises(StepflowClientError) as caught:
        call_with_handler(twin, answer, operation, server_release="0.13.0")
    kind = InvalidResponseError if error in FOREIGN else RequestTimeoutError if error in LATE else ServerConnectionError
    assert type(caught.value) is kind
    assert str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), httpx.CloseError("x")])
def test_a_response_is_returned_even_if_closing_it_fails(twin: str, error: Exception) -> None:
    answer = httpx.Response(200, headers={"content-type": "application/json"}, stream=Body(error, at_close=True))
    assert call_with_handler(twin, lambda request: answer, list_runs, server_release="0.13.0").runs == []


@pytest.mark.parametrize("twin", TWINS)
def test_a_transport_that_returns_no_response(twin: str) -> None:
    class ReturnsNone(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> Any:
            return None

        async def handle_async_request(self, request: httpx.Request) -> Any:
            return None

    for name in ("list_runs", "run_events"):
        with pytest.raises(InvalidResponseError, match="NoneType"):
            call(twin, ReturnsNone(), CALLS[name], server_release="0.13.0")


@pytest.mark.parametrize("twin", TWINS)
def test_assertion_errors_of_a_transport_propagate(twin: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("the test's own")

    with pytest.raises(AssertionError, match="the test's own"):
        call_with_handler(twin, answer, list_runs, server_release="0.13.0")


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", None])
def test_invalid_size_limits_are_rejected(twin: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="max_response_bytes must be an integer of at least 1"):
        call_with_handler(twin, Server(), list_runs, max_response_bytes=value)
