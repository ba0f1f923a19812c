"""Any first call to something that is not a Stepflow server raises one clear error in time, with the URL."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Any

import pytest
from stepflow_client import (
    InvalidResponseError,
    NotFoundError,
    RequestTimeoutError,
    ServerConnectionError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests.server.awaited import Awaited
from tests.server.flows import ECHO, one_step

pytestmark = pytest.mark.anyio

TIMEOUT = 0.2
"""Timeout in seconds for a server that does not respond."""
LONG_TIMEOUT = 5.0
"""Timeout in seconds for a server that responds, which may take a while on a busy machine."""
RUN = "00000000-0000-4000-8000-000000000000"
HTTP2_SETTINGS = bytes.fromhex("000000040000000000")
HTTP2_GOAWAY = bytes.fromhex("0000080700000000000000000000000001")


@contextmanager
def listening(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen on a free port and let `answer` handle each connection; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as open_sockets:

        def serve(connection: socket.socket) -> None:
            # The client may close the connection early.
            try:
                stream = tls.wrap_socket(connection, server_side=True) if tls else connection
                with stream:
                    answer(stream)
            except OSError:
                connection.close()

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                open_sockets.callback(connection.close)
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        acceptor.join(2)


def http(status: str, kind: str, body: str) -> Callable[[socket.socket], None]:
    """Return a handler that sends the same response to every request, on persistent connections."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"

    def answer(stream: socket.socket) -> None:
        while stream.recv(65536):
            stream.sendall((head + body).encode())

    return answer


def http2(stream: socket.socket) -> None:
    """Act like a gRPC server, which sends HTTP/2 settings and rejects a client that does not speak HTTP/2."""
    stream.sendall(HTTP2_SETTINGS)
    stream.recv(65536)
    stream.sendall(HTTP2_GOAWAY)


def silence(stream: socket.socket) -> None:
    while stream.recv(65536):
        pass


def close_immediately(stream: socket.socket) -> None:
    stream.recv(1)


PAGE = "<!doctype html><title>Welcome</title><p>It works"
CASES: dict[str, tuple[Callable[[socket.socket], None], type[Exception] | tuple[type[Exception], ...]]] = {
    "page": (http("200 OK", "text/html", PAGE), InvalidResponseError),
    "page not found": (http("404 Not Found", "text/html", PAGE), (InvalidResponseError, NotFoundError)),
    "other API": (http("200 OK", "application/json", '{"status":"ok"}'), InvalidResponseError),
    "list": (http("200 OK", "application/json", "[]"), InvalidResponseError),
    "text": (http("200 OK", "text/plain", "pong"), InvalidResponseError),
    "nothing": (http("200 OK", "application/json", ""), InvalidResponseError),
    "gRPC": (http2, InvalidResponseError),
    "not HTTP": (lambda stream: stream.sendall(b"220 mail.example.org ESMTP\r\n"), InvalidResponseError),
    "silence": (silence, RequestTimeoutError),
    "slammed": (close_immediately, ServerConnectionError),
}
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "health_check": lambda client: client.health_check(),
    "server_info": lambda client: client.server_info(),
    "run": lambda client: client.run(one_step(ECHO), {"n": 1}),
    "validate": lambda client: client.validate(one_step(ECHO)),
    "get_result": lambda client: client.get_result(RUN),
    "list_runs": lambda client: client.list_runs(),
    "list_components": lambda client: client.list_components(),
    "run_events": lambda client: anext(client.run_events(RUN)),
}


async def one_error(
    url: str, call: Callable[[Any], Any], kind: str, timeout: float = LONG_TIMEOUT
) -> StepflowClientError:
    """Make a call with a new client; return its error, which must arrive in time and contain the URL."""
    async with AsyncExitStack() as stack:
        client: Any
        if kind == "async":
            client = await stack.enter_async_context(StepflowClient(url, timeout=timeout))
        else:
            client = Awaited(stack.enter_context(SyncStepflowClient(url, timeout=timeout)))
        started = time.monotonic()
        with pytest.raises(StepflowClientError) as raised:
            await call(client)
    assert time.monotonic() - started < 2 * timeout + 15
    assert url in str(raised.value)
    return raised.value


# Every case with a health check and a run, and every operation with an HTML page and a silent port.
CALLS = {
    *((case, "health_check", "async") for case in CASES),
    *((case, "run", "sync") for case in CASES),
    *(("page", operation, "async") for operation in OPERATIONS),
    *(("silence", operation, "sync") for operation in OPERATIONS),
}


@pytest.mark.parametrize(("case", "operation", "kind"), sorted(CALLS))
async def test_a_response_that_is_not_from_a_stepflow_server(case: str, operation: str, kind: str) -> None:
    answer, expected = CASES[case]
    with listening(answer) as port:
        timeout = TIMEOUT if case == "silence" else LONG_TIMEOUT
        error = await one_error(f"http://127.0.0.1:{port}", OPERATIONS[operation], kind, timeout)
    assert isinstance(error, expected), repr(error)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("operation", ["health_check", "run"])
async def test_no_server_listens(operation: str, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = await one_error(f"http://127.0.0.1:{port}", OPERATIONS[operation], kind)
    assert isinstance(error, ServerConnectionError)
    assert error.hint


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_https_on_a_plain_port(kind: str) -> None:
    with listening(http("400 Bad Request", "text/plain", "plain HTTP here")) as port:
        error = await one_error(f"https://127.0.0.1:{port}", OPERATIONS["health_check"], kind)
    assert isinstance(error, ServerConnectionError)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The TLS context of a server with a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", *request.split(), *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_http_on_a_tls_port(certified: ssl.SSLContext, kind: str) -> None:
    with listening(silence, certified) as port:
        error = await one_error(f"http://127.0.0.1:{port}", OPERATIONS["health_check"], kind)
    assert isinstance(error, (ServerConnectionError, InvalidResponseError))


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_unknown_certificate(certified: ssl.SSLContext, kind: str) -> None:
    healthy = http("200 OK", "application/json", '{"status":"healthy","version":"0.11.1"}')
    with listening(healthy, certified) as port:
        url = f"https://127.0.0.1:{port}"
        error = await one_error(url, OPERATIONS["health_check"], kind)
        assert isinstance(error, ServerConnectionError)
        assert "certificate" in str(error).lower()
        async with StepflowClient(url, verify=False) as client:
            assert (await client.health_check()).status == "healthy"
