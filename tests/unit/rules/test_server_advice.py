"""Hints in errors about unreachable servers, other services at the URL, and error statuses."""

from __future__ import annotations

import errno
import os

import pytest
from stepflow_client import InvalidResponseError, ServerConnectionError, StepflowClientError
from stepflow_client._codec.responses import find_response_error
from stepflow_client._http.http1_format import (
    CannotSend,
    ConnectFailed,
    ConnectionBroken,
    ConnectTimeout,
    HttpError,
    HttpRequest,
    NameTimeout,
    NotHttp,
    PoolTimeout,
    ReadTimeout,
    ResponseReader,
    Timeouts,
    TooLarge,
    WriteTimeout,
)
from stepflow_client._rules.transport_errors import build_not_stepflow_error, convert_error

HERE, REMOTE = "http://127.0.0.1:9", "http://server.example:81"


def make_error(message: str, cause: BaseException | None = None) -> ConnectFailed:
    error = ConnectFailed(message)
    error.__cause__ = cause
    return error


def make_os_error(code: int) -> ConnectFailed:
    return make_error("it failed", OSError(code, os.strerror(code)))


@pytest.mark.parametrize(
    ("url", "error", "hint"),
    [
        (HERE, make_os_error(errno.ECONNREFUSED), "run 'stepflow serve --port 9'"),
        ("http://localhost", make_os_error(errno.ECONNREFUSED), "port 80: 'stepflow serve' uses http://localhost:7837"),
        (
            "http://localhost:7837",
            make_os_error(errno.ECONNREFUSED),
            "port 7837: run 'stepflow serve', or correct the URL",
        ),
        ("http://[::1]:9", make_os_error(errno.ECONNREFUSED), "run 'stepflow serve --port 9'"),
        (
            REMOTE,
            make_os_error(errno.ECONNREFUSED),
            "nothing is listening on port 81 of server.example: start the server",
        ),
        ("https://127.0.0.1:9", make_os_error(errno.ECONNREFUSED), "nothing is listening on port 9 of 127.0.0.1"),
        ("http://127.0.0.1:9/base", make_os_error(errno.ECONNREFUSED), "nothing is listening on port 9 of 127.0.0.1"),
        (REMOTE, make_os_error(errno.EHOSTUNREACH), "there is no route to server.example"),
        (
            REMOTE,
            make_error("its name cannot be resolved"),
            "the host server.example cannot be resolved here: correct the URL",
        ),
        ("https://a:9/base", make_error("wrong version number"), "the server speaks http: write http://a:9/base"),
        (REMOTE, make_error("it returned 502"), "the server behind a proxy is not responding"),
        (REMOTE, ConnectionBroken("the server disconnected without a response"), "write https://server.example:81"),
        (REMOTE, ConnectionBroken("the server disconnected in the middle of the response"), ""),
        (REMOTE, NotHttp("its response begins with 'SSH-2.0'"), "another service is at this address"),
    ],
)
def test_hints(url: str, error: HttpError, hint: str) -> None:
    converted = convert_error(error, HttpRequest("GET", "/runs"), url, None, None)
    assert hint in (converted.hint or "")
    assert bool(converted.hint) is bool(hint)


@pytest.mark.parametrize(("proxy", "through"), [(None, ""), ("http://p:3128", " through the proxy http://p:3128")])
def test_an_unreachable_server_is_named_with_the_proxy(proxy: str | None, through: str) -> None:
    converted = convert_error(make_error("it failed"), HttpRequest("GET", "/runs"), REMOTE, proxy, None)
    assert converted.message == f"{REMOTE} cannot be reached{through}: it failed"


def test_an_unreachable_proxy_has_a_hint() -> None:
    converted = convert_error(
        make_os_error(errno.ECONNREFUSED), HttpRequest("GET", "/runs"), REMOTE, "http://proxy:3128", None
    )
    assert isinstance(converted, ServerConnectionError)
    assert converted.hint == "correct the proxy's URL, or set NO_PROXY=server.example to connect without it"


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x46", "its response is TLS", "the server speaks https: write https://server.exam"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its response begins with 'SSH-2.0-OpenSSH_9.2'", "another service"),
        (b"\x1b[2J" + b"x" * 99, "its response begins with '·[2Jxxx", "another service"),
        (b"HTTP/1.1 abc\r\n", "not an HTTP/1.1 response: ", "another service"),
    ],
)
def test_other_protocols(data: bytes, message: str, hint: str) -> None:
    with pytest.raises(NotHttp) as raised:
        ResponseReader().feed(data)
    converted = convert_error(raised.value, HttpRequest("GET", "/runs"), REMOTE, None, None)
    assert isinstance(converted, InvalidResponseError)
    assert message in converted.message
    assert hint in str(converted)
    assert len(converted.message) < 120


HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("url", "status", "headers", "content", "words"),
    [
        (REMOTE, 404, HTML, b"", ["(404, text/html)", "another service is at this address"]),
        (f"{REMOTE}/api/v1/runs", 404, {}, b"", [f"write {REMOTE}"]),
        (REMOTE, 301, {"location": "https://server.example/api/v1/health"}, b"", ["write https://server.example"]),
        (REMOTE, 302, {"location": "/login?token=secret"}, b"", ["it redirects to /login)", "a login page"]),
        (REMOTE, 302, {}, b"", ["(302, no content type)", "another service"]),
        (REMOTE, 400, HTML, b"The plain HTTP request was sent to HTTPS port", ["write https://server.example:81"]),
        (f"{REMOTE}/runs", 200, {"content-type": "application/grpc"}, b"", ["has no path", f"write {REMOTE}"]),
    ],
)
def test_other_services(url: str, status: int, headers: dict[str, str], content: bytes, words: list[str]) -> None:
    error = build_not_stepflow_error(url, status, headers, content)
    assert isinstance(error, StepflowClientError)
    assert error.status_code == status
    assert [each for each in words if each not in str(error)] == []
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("status", "request_line", "content", "hint"),
    [
        (401, "GET /runs", b"", "the token is missing, expired or for a different server"),
        (403, "GET /runs", b"", "the credentials do not allow this"),
        (407, "GET /runs", b"", "into the proxy's URL"),
        (413, "POST /flows", b"<html>", "split large values into several blobs"),
        (500, "GET /runs", b"<html>", "the server's log"),
        (429, "GET /runs", b"<html>", "send fewer requests at once, or wait"),
        *((code, "GET /runs", b"<html>", "the server behind a proxy is not responding") for code in (502, 503, 504)),
        (409, "GET /runs", b"<html>", None),
        (503, "GET /runs", b'{"message": "the store is away"}', None),
        (400, "GET /flows/abc", b'{"message": "invalid flow_id format"}', "64 hexadecimal digits"),
        (400, "POST /flows", b'{"message": "no steps"}', None),
    ],
)
def test_error_statuses(status: int, request_line: str, content: bytes, hint: str | None) -> None:
    kind = "text/html" if content.startswith(b"<") else "application/json"
    error = find_response_error(status, kind, content, request_line)
    assert error is not None
    assert error.hint is None if hint is None else hint in str(error.hint)


@pytest.mark.parametrize(
    ("error", "message", "hint", "was_sent"),
    [
        (
            PoolTimeout(""),
            "GET /runs waited 4 s for a free connection",
            "to allow more connections, set limits=",
            False,
        ),
        (NameTimeout(""), f"the name of {HERE} was not resolved within 1 s", None, False),
        (ConnectTimeout(""), f"{HERE} did not accept a connection within 1 s", None, False),
        (ReadTimeout(""), f"GET /runs got no response from {HERE} within 2 s", None, True),
        (WriteTimeout(""), f"GET /runs got no response from {HERE} within 3 s", None, True),
        (CannotSend("a header"), "GET /runs cannot be sent: a header", "", None),
        (
            TooLarge("2 MB"),
            "the response to GET /runs is too large: 2 MB",
            "to allow larger responses, set max_response_bytes=",
            None,
        ),
        (ConnectionBroken(), f"the connection to {HERE} broke: ConnectionBroken", "", True),
        (ValueError("odd"), "the response to GET /runs cannot be read: odd", "", None),
    ],
)
def test_failures_by_phase(error: Exception, message: str, hint: str | None, was_sent: bool | None) -> None:
    request = HttpRequest("GET", "/runs", timeout=Timeouts(connect=1.0, read=2.0, write=3.0, pool=4.0))
    converted = convert_error(error, request, HERE, None, "r")
    assert (converted.message, converted.run_id) == (message, "r")
    assert hint is None or (converted.hint or "") == hint
    assert was_sent is None or getattr(converted, "was_sent", None) is was_sent
