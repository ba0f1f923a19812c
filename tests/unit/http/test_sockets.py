"""Connections to a raw socket server: connecting, reuse, timeouts, backpressure and TLS shutdown."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from stepflow_client import RequestTimeoutError, RetryPolicy, ServerConnectionError, StepflowClient, SyncStepflowClient
from stepflow_client._http import connecting
from stepflow_client._http.async_socket import AsyncSocket
from stepflow_client._http.http1_format import HttpRequest

from tests.raw_server import BODY, HEALTHY, OK, Conversation, RawServer, answers
from tests.unit.both_twins import EVENT, RUN_ID, TWINS

ONCE = RetryPolicy(max_attempts=1)

both = pytest.mark.parametrize("twin", TWINS)

Steps = Callable[[Any], Iterator[Any]]


def use(twin: str, steps: Steps, url: str, **settings: Any) -> None:
    """Run a generator of calls with a client; await the yielded calls of the asynchronous client."""
    if twin == "sync":
        with SyncStepflowClient(url, **settings) as client:
            for _ in steps(client):
                pass
        return

    async def main() -> None:
        async with StepflowClient(url, **settings) as client:
            for step in steps(client):
                await step

    asyncio.run(main())


def checks(client: Any) -> Iterator[Any]:
    yield client.health_check()


# Connecting


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that neither accepts nor refuses connections, because its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting: list[socket.socket] = []
        for _ in range(4):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
            waiting.append(each)
        time.sleep(0.1)
        yield port
        for each in waiting:
            each.close()


def resolve(monkeypatch: pytest.MonkeyPatch, *ports: int) -> str:
    """Return a host name that resolves to these ports of 127.0.0.1."""
    name = "several.test"
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host not in (name, name.encode()):
            return system(host, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return name


@both
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection(twin: str, host: str) -> None:
    with RawServer(answers(HEALTHY)) as server:
        use(twin, checks, server.url.replace("127.0.0.1", host), timeout=5)
        assert len(server.conversations) == 1


async def test_a_large_response_that_arrives_early_is_read_completely() -> None:
    body = b"x" * 3_000_000
    with RawServer(lambda conversation: conversation.say(OK + b"content-length: 3000000\r\n\r\n" + body)) as server:
        connection = await AsyncSocket.connect("127.0.0.1", server.port, None, 30)
        # From this size on, the connection has paused reading.
        while len(connection._unread) < 1024 * 1024:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await connection.read_whole_response(HttpRequest("GET", "/"), 30)
        assert connection.reader.take_body() == body
        await connection.aclose()


@both
def test_the_next_address_is_used_if_one_refuses(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    with RawServer(answers(HEALTHY)) as server:
        use(twin, checks, f"http://{resolve(monkeypatch, closed, server.port)}", timeout=5)


@both
def test_an_unresponsive_address_leaves_time_for_the_others(
    twin: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        use(twin, checks, f"http://{resolve(monkeypatch, black_hole, server.port)}", timeout=4, retry=ONCE)


@both
def test_connecting_respects_the_timeout(twin: str, black_hole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{resolve(monkeypatch, *[black_hole] * 10)}"
    started = time.monotonic()
    with pytest.raises(ServerConnectionError, match="did not accept a connection"):
        use(twin, checks, url, timeout=1, retry=ONCE)
    assert time.monotonic() - started < 9


@both
def test_unresponsive_addresses_cause_only_a_short_delay(
    twin: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        url = f"http://{resolve(monkeypatch, black_hole, server.port, black_hole)}"
        started = time.monotonic()
        use(twin, checks, url, timeout=30, retry=ONCE)
        assert time.monotonic() - started < 9


@both
def test_all_addresses_are_tried_before_the_timeout(
    twin: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        holes = [black_hole] * 9
        use(twin, checks, f"http://{resolve(monkeypatch, *holes, server.port)}", timeout=1, retry=ONCE)


@both
def test_sockets_of_unused_addresses_are_closed(twin: str, black_hole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answers(HEALTHY)) as server:
        url = f"http://{resolve(monkeypatch, black_hole, server.port, server.port)}"
        before = len(psutil.Process().net_connections("tcp"))
        use(twin, checks, url, timeout=5, retry=ONCE)
    assert len(psutil.Process().net_connections("tcp")) <= before


def test_address_families_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [(family, number) for number, family in enumerate([10, 10, 10, 2, 2])]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert [number for _, number in connecting._resolve_addresses("several.test", 80)] == [0, 3, 1, 4, 2]


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A resolver that blocks until the test ends; yields the list of requested names."""
    names: list[Any] = []
    over = threading.Event()

    def resolving(host: Any, *_: Any, **__: Any) -> Any:
        names.append(host)
        over.wait(60)
        raise socket.gaierror("over")

    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    yield names
    over.set()


@both
def test_a_hung_resolver_does_not_block_calls(twin: str, silent_resolver: list[Any]) -> None:
    def twice(client: Any) -> Iterator[Any]:
        for _ in range(2):
            yield client.health_check()

    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(ServerConnectionError, match=r"the name of \S+ was not resolved within 0\.5 s"):
            # Closing the event loop does not wait for the resolver either.
            use(twin, twice, f"http://silent-{twin}.test", timeout=0.5, retry=ONCE)
    assert time.monotonic() - started < 30
    # A single thread waits, however many calls need the name.
    assert silent_resolver == [f"silent-{twin}.test".encode()]


@both
def test_an_unknown_host_name(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refusing)
    with pytest.raises(ServerConnectionError, match="its name cannot be resolved"):
        use(twin, checks, "http://nowhere.test", timeout=5, retry=ONCE)


# Idle connections

AFTER_RESPONSE: dict[str, Callable[[Conversation], None]] = {
    "closed": lambda conversation: conversation.socket.shutdown(socket.SHUT_RDWR),
    "request timeout": lambda conversation: conversation.say(
        b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ),
    "stray response": lambda conversation: conversation.say(HEALTHY.replace(b"healthy", b"foreign")),
}


@both
@pytest.mark.parametrize("what", AFTER_RESPONSE)
def test_a_dead_or_dirty_connection_is_not_reused(twin: str, what: str) -> None:
    answered, is_over = threading.Event(), threading.Event()

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(HEALTHY)
        answered.wait(60)
        AFTER_RESPONSE[what](conversation)
        is_over.set()
        while conversation.read():
            conversation.say(HEALTHY)

    def steps(client: Any) -> Iterator[Any]:
        yield client.health_check()
        answered.set()
        # The event loop does not run meanwhile, so the client has not read the extra bytes yet.
        assert is_over.wait(60)
        yield client.health_check()

    with RawServer(talk) as server:
        use(twin, steps, server.url, retry=ONCE)
        assert [len(each.requests) for each in server.conversations] == [1, 1]


@both
def test_a_healthy_connection_is_reused(twin: str) -> None:
    def steps(client: Any) -> Iterator[Any]:
        for _ in range(3):
            yield client.health_check()
            time.sleep(0.1)

    with RawServer(answers(HEALTHY)) as server:
        use(twin, steps, server.url)
        assert [len(each.requests) for each in server.conversations] == [3]


@both
def test_idle_connections_expire(twin: str) -> None:
    def steps(client: Any) -> Iterator[Any]:
        yield client.health_check()
        time.sleep(0.4)
        yield client.health_check()

    with RawServer(answers(HEALTHY)) as server:
        use(twin, steps, server.url, limits=httpx.Limits(keepalive_expiry=0.2))
        assert [len(each.requests) for each in server.conversations] == [1, 1]


def test_expired_connections_are_closed_while_another_is_in_use() -> None:
    with RawServer(answers(HEALTHY)) as server:

        def steps(client: Any) -> Iterator[Any]:
            yield asyncio.gather(*(client.health_check() for _ in range(10)))
            assert len(connections(server.port)) == 10
            for _ in range(8):
                time.sleep(0.1)
                yield client.health_check()
            yield asyncio.sleep(0.05)
            assert len(connections(server.port)) == 1

        use("async", steps, server.url, limits=httpx.Limits(keepalive_expiry=0.4))


def connections(port: int) -> list[int]:
    """Return the file descriptors of this process's connections to a port."""
    sockets = psutil.Process().net_connections("tcp")
    return [each.fd for each in sockets if each.raddr and each.raddr.port == port]


@both
def test_tcp_keepalive_is_enabled(twin: str) -> None:
    with RawServer(answers(HEALTHY)) as server:

        def steps(client: Any) -> Iterator[Any]:
            yield client.health_check()
            (descriptor,) = connections(server.port)
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as connected:
                assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                if hasattr(socket, "TCP_KEEPIDLE"):
                    assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30

        use(twin, steps, server.url)


# Large transfers


def test_a_slow_reader_applies_backpressure() -> None:
    # More than the 32 MiB that the operating system may buffer.
    count, sent = 1500, []
    started = {"runId": RUN_ID, "stepId": "a" * 40_000, "itemIndex": 0, "stepIndex": 0}

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for number in range(1, count + 1):
            event = EVENT["event"] if number == count else {"StepStarted": started}
            frame = {**EVENT, "sequenceNumber": number, "event": event}
            conversation.say(b"data: " + json.dumps(frame).encode() + b"\n\n")
            sent.append(number)

    async def read(client: Any) -> None:
        received = 0
        async for _ in client.run_events(RUN_ID):
            if not received:
                before = 0
                while len(sent) > before:
                    before = len(sent)
                    await asyncio.sleep(0.5)
                # The socket and the client buffer only part of the stream.
                assert before < count
            received += 1
        assert received == count

    with RawServer(talk) as server:
        use("async", lambda client: iter([read(client)]), server.url, server_release="0.13")


@both
def test_a_server_that_does_not_read_times_out(twin: str) -> None:
    over = threading.Event()

    def talk(conversation: Conversation) -> None:
        over.wait(60)

    def steps(client: Any) -> Iterator[Any]:
        yield client.store_blob("x" * 30_000_000)

    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError) as caught:
            use(twin, steps, server.url, server_release="0.13", timeout=0.5, retry=ONCE)
        assert caught.value.attempts == ["no data was accepted within 0.5 s"]
        assert not connections(server.port)
        over.set()


@both
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_a_connection_reset_keeps_its_os_error(twin: str, size: int) -> None:
    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conversation.socket.close()

    def steps(client: Any) -> Iterator[Any]:
        yield client.store_blob("x" * size)

    with RawServer(talk) as server:
        with pytest.raises(ServerConnectionError) as caught:
            use(twin, steps, server.url, server_release="0.13", retry=ONCE)
        assert caught.value.__cause__ is not None
        assert isinstance(caught.value.__cause__.__cause__, ConnectionError)


# Closed event loops

CLOSED_LOOPS = """
import asyncio, gc, sys, psutil
from stepflow_client import StepflowClient

url, loop = sys.argv[1:]
if loop == "uvloop":
    from uvloop import new_event_loop as factory
else:
    factory = asyncio.SelectorEventLoop
clients = []

async def call(client):
    await asyncio.gather(*(client.health_check() for _ in range(3)))

for _ in range(5):
    with asyncio.Runner(loop_factory=factory) as runner:
        clients.append(StepflowClient(url))
        runner.run(call(clients[-1]))
        runner.run(call(clients[0]))
    gc.collect()
print(sum(bool(each.raddr) for each in psutil.Process().net_connections("tcp")))
clients.clear()
gc.collect()
"""


def test_closing_an_event_loop_closes_its_connections(request: pytest.FixtureRequest) -> None:
    loop = request.config.getoption("--loop")
    with RawServer(answers(HEALTHY)) as server:
        command = [sys.executable, "-W", "error", "-c", CLOSED_LOOPS, server.url, loop]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", *options.split(), *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


@both
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "cut off"])
@pytest.mark.parametrize("begin", [OK + b"\r\n", OK + b"content-length: 100000\r\n\r\n"], ids=["no length", "a length"])
def test_only_an_announced_end_of_tls_ends_a_response(
    twin: str, announced: bool, begin: bytes, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(begin + BODY)
        if announced:
            assert isinstance(conversation.socket, ssl.SSLSocket)
            conversation.socket = conversation.socket.unwrap()
        else:
            # Like a man in the middle.
            conversation.socket = socket.socket(fileno=conversation.socket.detach())

    with RawServer(talk, context) as server:
        settings = {"verify": str(certificate), "retry": ONCE, "timeout": 5}
        if announced and b"length" not in begin:
            use(twin, checks, server.url, **settings)
            return
        with pytest.raises(ServerConnectionError, match="cut off" if not announced else "in the middle"):
            use(twin, checks, server.url, **settings)


@both
def test_a_tls_connection_is_reused(twin: str, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def steps(client: Any) -> Iterator[Any]:
        for _ in range(3):
            yield client.health_check()
            time.sleep(0.05)

    with RawServer(answers(HEALTHY), context) as server:
        use(twin, steps, server.url, verify=str(certificate))
        assert [len(each.requests) for each in server.conversations] == [3]


# Representations


def test_the_repr_of_a_request_hides_credentials() -> None:
    headers = {"authorization": "Bearer hidden", "x-key": "hidden"}
    request = HttpRequest("POST", "/runs", headers=headers, content=b'{"variables": {"key": "hidden"}}')
    assert "POST" in repr(request)
    assert "hidden" not in repr(request) + str(request)
