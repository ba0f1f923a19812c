"""Garbage responses raise only the client's own errors, in bounded time."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given, settings, strategies as st
from stepflow_client.errors import (
    AmbiguousRunError,
    InvalidResponseError,
    RunTimeoutError,
    StepflowClientError,
    TransportError,
)

from tests.timings import set_timings
from tests.unit.both_twins import (
    CALLS,
    FLOW,
    HEALTH,
    ITEM,
    RUN_ID,
    STEP,
    SUMMARY,
    TWINS,
    URL,
    Server,
    call,
    call_with_handler,
)

QUICK = settings(max_examples=30, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def no_reconnects() -> Iterator[None]:
    # Event streams reconnect for a minute by default; here the first failure is final.
    with pytest.MonkeyPatch.context() as patch:
        set_timings(patch, event_outage=-1.0, event_silence=0.3)
        yield


# Responses

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(RUN_ID)
KEYS = st.sampled_from(
    [
        "summary",
        "results",
        "runs",
        "steps",
        "step",
        "items",
        "itemIndex",
        "status",
        "runId",
        "flowId",
        "flow",
        "error",
        "message",
        "code",
        "output",
        "errorMessage",
        "errorCode",
        "diagnostics",
        "level",
        "components",
        "blobId",
        "data",
        "version",
        "build",
        "sequenceNumber",
        "timestamp",
        "event",
        "RunCompleted",
        "total",
        "schemas",
        "properties",
        "variables",
    ]
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)
VALID = [
    HEALTH,
    {"status": "healthy", "version": "0.11.1", "timestamp": "2026-11-24T23:42:11+00:00"},
    {"summary": SUMMARY, "results": [ITEM], "steps": [STEP]},
    {"summary": {**SUMMARY, "status": 1}, "results": [{**ITEM, "status": 1}], "steps": []},
    {"summary": {**SUMMARY, "status": 3}, "results": [{**ITEM, "status": 3, "errorMessage": "x"}], "steps": [STEP]},
    {"runs": [SUMMARY] * 100},
    {"flowId": "f", "flow": FLOW, "stored": True, "blobId": "f", "diagnostics": {"diagnostics": []}},
    {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}},
    {"components": [{"component": "/x"}]},
]


@st.composite
def corrupted(draw: st.DrawFn) -> Any:
    """A valid response with one value replaced."""
    value = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    inner: Any = value
    while isinstance(inner, (dict, list)) and inner:
        key = draw(st.sampled_from(sorted(inner))) if isinstance(inner, dict) else 0
        if not isinstance(inner[key], (dict, list)) or draw(st.booleans()):
            inner[key] = draw(JUNK)
            break
        inner = inner[key]
    return value


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_events(value: Any) -> bytes:
    return b"data: " + as_json(value) + b"\n\n"


BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(VALID).map(as_json),
    corrupted().map(as_json),
    corrupted().map(as_events),
    JUNK.map(as_json),
    st.tuples(st.sampled_from(VALID).map(as_json), st.integers(0, 400)).map(lambda cut: cut[0][: cut[1]]),
    st.sampled_from(
        [
            b"",
            b"null",
            b'{"summary": NaN}',
            b"[" * 50_000,
            b'{"a":' * 50_000,
            b'{"results": [' + b"9" * 5_000 + b"]}",
            b'{"sequenceNumber": 1e400}',
            b'{"runs": [1e308, -0.0, "\\ud800"]}',
            b'"\\udfff"',
            b"\xff\xfe{\x00}\x00",
            b"<html>",
            b"data: {}\n\n",
            b"data\n\ndata: \xff\n\n",
            b": keep-alive\n\n" * 50,
        ]
    ),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json",
                "text/plain; charset=utf-8",
                "text/html",
                "application/grpc",
                "text/event-stream",
                "application/octet-stream",
                "application/json; charset=nonsense",
                "text/event-stream; charset=utf-16",
                ";;;",
                "",
            ]
        ),
        "content-encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "nonsense", "gzip, gzip"]),
        "location": st.sampled_from(["", "http://[", "//", "http://elsewhere:99999/", "\xff", "/api/v1/health"]),
        "content-length": st.sampled_from(["0", "-1", "5", "x", "99999999"]),
        "set-cookie": st.sampled_from(["a=b", "=;=", "a=b; Expires=never; Max-Age=x", "\xff=\xfe"]),
        "content-disposition": st.sampled_from(["attachment", "attachment; filename*=x'y'%ff", 'a="', "\xff"]),
        "x-blob-type": st.sampled_from(["data", "flow", "binary", "", "\xff"]),
        "www-authenticate": st.sampled_from(["Digest", "Basic realm=x", "\xff"]),
        "retry-after": st.sampled_from(["0", "-1", "x", "Wed, 21 Oct 2015 07:28:00 GMT"]),
    },
)
STATUSES = st.integers(100, 599) | st.sampled_from([200, 200, 200, 404, 307])


class ResponsesInTurn:
    """Return each response in turn, then repeat the last one, and after 60 requests break the connection."""

    def __init__(self, responses: list[tuple[int, dict[str, str], bytes]]) -> None:
        self.responses = responses
        self.count = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        if self.count > 60:
            raise httpx.ConnectError("enough")
        if self.count == 1 and request.url.path.endswith("/health") and self.responses[0][0] % 2:
            # Half of the servers pass the initial health check.
            return httpx.Response(200, json=HEALTH)
        status, headers, body = self.responses[min(self.count, len(self.responses)) - 1]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return httpx.Response(status, headers=encoded, stream=httpx.ByteStream(body))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CALLS)
@QUICK
@given(responses=st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=4), twin=st.sampled_from(TWINS))
def test_garbage_raises_only_client_errors(name: str, responses: list[Any], twin: str) -> None:
    with suppress(StepflowClientError):
        call(twin, httpx.MockTransport(ResponsesInTurn(responses)), CALLS[name])


FAILURES = [
    *(
        each
        for each in vars(httpx).values()
        if isinstance(each, type) and issubclass(each, (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict))
    ),
    httpx.StreamClosed,
    httpx.StreamConsumed,
    httpx.ResponseNotRead,
    httpx.RequestNotRead,
    OSError,
    ConnectionResetError,
    TimeoutError,
    ValueError,
    UnicodeDecodeError,
]


def make_exception(failure: type[Exception]) -> Exception:
    if issubclass(failure, UnicodeDecodeError):
        return failure("utf-8", b"\xff", 0, 1, "bad")
    if issubclass(failure, httpx.HTTPStatusError):
        request = httpx.Request("GET", URL)
        return failure("failed", request=request, response=httpx.Response(500, request=request))
    try:
        return failure("failed")
    except TypeError:
        return failure()


@pytest.mark.exhaustive
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("recognised", [True, False], ids=["recognised", "unknown"])
@pytest.mark.parametrize("twin", TWINS)
def test_every_connection_failure_raises_a_client_error(twin: str, failure: type[Exception], recognised: bool) -> None:
    server = Server()

    def broken(request: httpx.Request) -> httpx.Response:
        if recognised and request.url.path.endswith("/health"):
            return server(request)
        raise make_exception(failure)

    for name, operation in CALLS.items():
        if recognised and name in ("health_check", "server_info"):
            continue
        with pytest.raises(StepflowClientError) as caught:
            call(twin, httpx.MockTransport(broken), operation)
        assert str(caught.value)
        if issubclass(failure, (httpx.NetworkError, httpx.TimeoutException, OSError)):
            kinds: list[type[StepflowClientError]] = [TransportError]
            if recognised and name in ("create_run", "run", "submit"):
                # The run may have been created although no response arrived.
                kinds.append(AmbiguousRunError)
            if issubclass(failure, (httpx.TimeoutException, TimeoutError)) and name in (
                "get_result",
                "get_results",
                "wait_run",
            ):
                # The run may continue, but the time to wait for it is up.
                kinds.append(RunTimeoutError)
            assert isinstance(caught.value, tuple(kinds))


@pytest.mark.parametrize("twin", TWINS)
def test_inconsistent_pages_stop_the_iteration(twin: str) -> None:
    # For example, from a proxy that caches one response for every offset.
    server = Server()
    runs = [{**SUMMARY, "runId": f"01900000-0000-7000-8000-{number:012}"} for number in range(100)]
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": runs})
    with pytest.raises(InvalidResponseError, match="inconsistent pages"):
        call_with_handler(twin, server, CALLS["iter_runs"])
    assert len(server.requests) < 30


@pytest.mark.parametrize("twin", TWINS)
def test_reconnects_to_empty_streams_are_paced(twin: str) -> None:
    request_times: list[float] = []
    server = Server()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            request_times.append(time.monotonic())
            if len(request_times) == 4:
                raise httpx.ConnectError("enough")
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text="")
        if request.url.path.endswith("/health"):
            return server(request)
        return httpx.Response(200, json={"runs": [{**SUMMARY, "status": 1}]})

    with pytest.raises(StepflowClientError, match="broke: "):
        call_with_handler(twin, answer, CALLS["run_events"])
    pauses = [later - earlier for earlier, later in pairwise(request_times)]
    assert all(pause >= 0.08 for pause in pauses)


# On a socket

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
HEALTHY = json.dumps(HEALTH).encode()
MALFORMED: dict[str, list[bytes | float]] = {
    "closes at once": [],
    "closes after a while": [0.05],
    "half a status line": [b"HTTP/1.1 2"],
    "half of the headers": [OK],
    "no status": [b"HTTP/1.1\r\n\r\n"],
    "an invalid status": [b"HTTP/1.1 abc OK\r\n\r\n"],
    "a huge status": [b"HTTP/1.1 99999999999 OK\r\n\r\n"],
    "a chunked body cut off": [OK + b"transfer-encoding: chunked\r\n\r\n10\r\n{\"a\":"],
    "an invalid chunk size": [OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"],
    "a negative chunk size": [OK + b"transfer-encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n"],
    "a huge chunk size": [OK + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n{}"],
    "a chunk without its end": [OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n"],
    "a body shorter than its length": [OK + b"content-length: 1000\r\n\r\n{}"],
    "a body longer than its length": [OK + b"content-length: 1\r\n\r\n{}garbage"],
    "an invalid length": [OK + b"content-length: many\r\n\r\n{}"],
    "a negative length": [OK + b"content-length: -1\r\n\r\n{}"],
    "a huge length": [OK + b"content-length: " + b"9" * 5000 + b"\r\n\r\n{}"],
    "two lengths": [OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x"],
    "garbage bytes": [bytes(range(256)) * 8],
    "zeros": [bytes(4096)],
    "a very long line": [b"x" * 300_000],
    "a very long header": [OK + b"x-a: " + b"y" * 300_000],
    "many headers": [OK + b"".join(b"x-%d: y\r\n" % n for n in range(20_000))],
    "a header without a colon": [OK + b"nonsense\r\ncontent-length: 2\r\n\r\n{}"],
    "a header that is not text": [OK + b"x-\xff: \xfe\x00\r\ncontent-length: 2\r\n\r\n{}"],
    "a folded header": [OK + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}"],
    "invalid gzip": [OK + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"],
    "gzip cut off": [OK + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + gzip.compress(HEALTHY)[:-12]],
    "HTTP/0.9": [b"{}\n"],
    "HTTP/2": [b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)],
    "HTTP/3.7": [b"HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "a TLS alert": [b"\x15\x03\x01\x00\x02\x02\x46"],
    "a TLS ServerHello": [b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(range(118))],
    "SSH": [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "only interim responses": [b"HTTP/1.1 100 Continue\r\n\r\n" * 50],
    "switching protocols": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n\x00\x01"],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "not modified": [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "a redirect to nowhere": [b"HTTP/1.1 302 Found\r\nlocation: http://[\r\ncontent-length: 0\r\n\r\n"],
    "silence": [0.4],
    "silence in the body": [OK + b"content-length: 100\r\n\r\n{", 0.4],
}  # fmt: skip


class ScriptedSocketServer:
    """Sends the same script on every connection, whatever the request, and then closes it."""

    def __init__(self, script: list[bytes | float]) -> None:
        self.script = script
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.serve, daemon=True)]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.answer, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                for piece in self.script:
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                return

    def __enter__(self) -> ScriptedSocketServer:
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Without the shutdown a thread in accept() holds the socket open.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join(5)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_responses_on_a_socket(twin: str, name: str) -> None:
    with ScriptedSocketServer(MALFORMED[name]) as server:
        started = time.monotonic()
        with pytest.raises(StepflowClientError) as caught:
            call(twin, None, lambda client: client.health_check(), server.url, timeout=0.2)
        assert time.monotonic() - started < 20
    assert str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["closes at once", "garbage bytes", "a chunked body cut off", "silence in the body"])
def test_malformed_responses_from_a_recognised_server(twin: str, name: str) -> None:
    with ScriptedSocketServer(MALFORMED[name]) as server:
        for operation in ("list_runs", "run_events", "create_run", "get_blob"):
            with pytest.raises(StepflowClientError):
                call(twin, None, CALLS[operation], server.url, timeout=0.2, server_release="0.13")


@pytest.mark.parametrize("twin", TWINS)
def test_an_unreachable_server_is_reported(twin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StepflowClientError, match="cannot be reached"):
        call(twin, None, lambda client: client.health_check(), f"http://127.0.0.1:{port}", timeout=1)
    with pytest.raises(StepflowClientError, match="cannot be reached"):
        call(twin, None, lambda client: client.health_check(), "http://name.invalid", timeout=5)


@pytest.mark.parametrize("twin", TWINS)
def test_https_to_a_server_without_tls(twin: str) -> None:
    with ScriptedSocketServer([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(StepflowClientError):
            call(twin, None, lambda client: client.health_check(), url, timeout=1)


@pytest.mark.parametrize("twin", TWINS)
def test_a_response_may_arrive_byte_by_byte(twin: str) -> None:
    response = OK + b"content-length: %d\r\n\r\n" % len(HEALTHY) + HEALTHY
    with ScriptedSocketServer(
        [b"HTTP/1.1 100 Continue\r\n\r\n", *(response[at : at + 1] for at in range(len(response)))]
    ) as server:
        health = call(twin, None, lambda client: client.health_check(), server.url, timeout=1)
    assert health.status == "healthy"
