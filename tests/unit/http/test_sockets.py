"""Connections to a server on a socket of its own, which does what real servers do not."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
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
import uvloop
from stepflow_client import (
    RequestTimeoutError,
    RetryPolicy,
    ServerConnectionError,
    StepflowClient,
    SyncStepflowClient,
)
from stepflow_client._http import connecting
from stepflow_client._http.messages import HttpRequest

from tests.raw_server import BODY, HEALTHY, OK, Conversation, RawServer, answers
from tests.unit.both_twins import EVENT, RUN_ID

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
ONCE = RetryPolicy(max_attempts=1)

in_each_loop = pytest.mark.parametrize("loop", LOOPS)
everywhere = pytest.mark.parametrize("where", [*LOOPS, "sync"])

Steps = Callable[[Any], Iterator[Any]]


def use(where: str, steps: Steps, url: str, **settings: Any) -> None:
    """Return a client of an event loop, or a blocking one, to a generator, and await what it yields of the first."""
    if where == "sync":
        with SyncStepflowClient(url, **settings) as client:
            for _ in steps(client):
                pass
        return

    async def main() -> None:
        async with StepflowClient(url, **settings) as client:
            for step in steps(client):
                await step

    with asyncio.Runner(loop_factory=LOOPS[where]) as runner:
        runner.run(main())


def checks(client: Any) -> Iterator[Any]:
    yield client.health_check()


# Connecting


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that neither accepts nor refuses: nobody takes the connections that wait there."""
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
    """Return a name whose addresses are these ports of 127.0.0.1."""
    name = "several.test"
    system = socket.getaddrinfo

    def found(host: Any, *args: Any, **options: Any) -> Any:
        if host not in (name, name.encode()):
            return system(host, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return name


@everywhere
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection_in_any_event_loop(where: str, host: str) -> None:
    with RawServer(answers(HEALTHY)) as server:
        use(where, checks, server.url.replace("127.0.0.1", host), timeout=5)
        assert len(server.conversations) == 1


@everywhere
def test_an_address_that_refuses(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    with RawServer(answers(HEALTHY)) as server:
        use(where, checks, f"http://{resolve(monkeypatch, closed, server.port)}", timeout=5)


@everywhere
def test_an_address_that_does_not_answer_leaves_the_others_their_time(
    where: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        use(where, checks, f"http://{resolve(monkeypatch, black_hole, server.port)}", timeout=4, retry=ONCE)


@everywhere
def test_connecting_takes_no_longer_than_it_may(where: str, black_hole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://{resolve(monkeypatch, *[black_hole] * 10)}"
    started = time.monotonic()
    with pytest.raises(ServerConnectionError, match="did not accept a connection"):
        use(where, checks, url, timeout=1, retry=ONCE)
    assert time.monotonic() - started < 9


@everywhere
def test_addresses_that_do_not_answer_cost_a_quarter_of_a_second(
    where: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        url = f"http://{resolve(monkeypatch, black_hole, server.port, black_hole)}"
        started = time.monotonic()
        use(where, checks, url, timeout=30, retry=ONCE)
        assert time.monotonic() - started < 9


@everywhere
def test_all_addresses_are_tried_before_the_timeout(
    where: str, black_hole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answers(HEALTHY)) as server:
        holes = [black_hole] * 9
        use(where, checks, f"http://{resolve(monkeypatch, *holes, server.port)}", timeout=1, retry=ONCE)


@everywhere
def test_no_socket_is_left_of_addresses_that_lost(where: str, black_hole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answers(HEALTHY)) as server:
        url = f"http://{resolve(monkeypatch, black_hole, server.port, server.port)}"
        before = len(psutil.Process().net_connections("tcp"))
        use(where, checks, url, timeout=5, retry=ONCE)
    assert len(psutil.Process().net_connections("tcp")) <= before


def test_families_of_addresses_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(family, number) for number, family in enumerate([10, 10, 10, 2, 2])]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert [number for _, number in connecting._resolved("several.test", 80)] == [0, 3, 1, 4, 2]


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A resolver that answers only when the test is over; yields the names that it is asked for."""
    asked: list[Any] = []
    over = threading.Event()

    def resolving(host: Any, *_: Any, **__: Any) -> Any:
        asked.append(host)
        over.wait(60)
        raise socket.gaierror("over")

    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    yield asked
    over.set()


@everywhere
def test_a_name_that_is_not_resolved_holds_no_call(where: str, silent_resolver: list[Any]) -> None:
    def twice(client: Any) -> Iterator[Any]:
        for _ in range(2):
            yield client.health_check()

    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(ServerConnectionError, match=r"the name of \S+ was not resolved within 0\.5 s"):
            # The end of the event loop does not wait for the resolver either.
            use(where, twice, f"http://silent-{where}.test", timeout=0.5, retry=ONCE)
    assert time.monotonic() - started < 30
    # One thread waits, however many calls need it.
    assert silent_resolver == [f"silent-{where}.test".encode()]


@everywhere
def test_a_name_that_does_not_exist(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refusing)
    with pytest.raises(ServerConnectionError, match="its name cannot be resolved"):
        use(where, checks, "http://nowhere.test", timeout=5, retry=ONCE)


# Idle connections

BEHIND: dict[str, Callable[[Conversation], None]] = {
    "closed": lambda conversation: conversation.socket.shutdown(socket.SHUT_RDWR),
    "told that it took too long": lambda conversation: conversation.say(
        b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ),
    "given the answer of somebody else": lambda conversation: conversation.say(HEALTHY.replace(b"healthy", b"foreign")),
}


@everywhere
@pytest.mark.parametrize("what", BEHIND)
def test_a_connection_that_is_dead_or_dirty_is_not_used_again(where: str, what: str) -> None:
    answered, is_over = threading.Event(), threading.Event()

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(HEALTHY)
        answered.wait(60)
        BEHIND[what](conversation)
        is_over.set()
        while conversation.read():
            conversation.say(HEALTHY)

    def steps(client: Any) -> Iterator[Any]:
        yield client.health_check()
        answered.set()
        # The event loop does not come to see what arrives meanwhile.
        assert is_over.wait(60)
        yield client.health_check()

    with RawServer(talk) as server:
        use(where, steps, server.url, retry=ONCE)
        assert [len(each.requests) for each in server.conversations] == [1, 1]


@everywhere
def test_a_connection_that_is_well_is_used_again(where: str) -> None:
    def steps(client: Any) -> Iterator[Any]:
        for _ in range(3):
            yield client.health_check()
            time.sleep(0.1)

    with RawServer(answers(HEALTHY)) as server:
        use(where, steps, server.url)
        assert [len(each.requests) for each in server.conversations] == [3]


@everywhere
def test_idle_connections_expire(where: str) -> None:
    def steps(client: Any) -> Iterator[Any]:
        yield client.health_check()
        time.sleep(0.4)
        yield client.health_check()

    with RawServer(answers(HEALTHY)) as server:
        use(where, steps, server.url, limits=httpx.Limits(keepalive_expiry=0.2))
        assert [len(each.requests) for each in server.conversations] == [1, 1]


def test_the_expired_are_closed_though_others_are_used() -> None:
    with RawServer(answers(HEALTHY)) as server:

        def steps(client: Any) -> Iterator[Any]:
            yield asyncio.gather(*(client.health_check() for _ in range(10)))
            assert len(connections(server.port)) == 10
            for _ in range(8):
                time.sleep(0.1)
                yield client.health_check()
            yield asyncio.sleep(0.05)
            assert len(connections(server.port)) == 1

        use("asyncio", steps, server.url, limits=httpx.Limits(keepalive_expiry=0.4))


def connections(port: int) -> list[int]:
    """Return the descriptors of this process's connections to a port."""
    found = psutil.Process().net_connections("tcp")
    return [each.fd for each in found if each.raddr and each.raddr.port == port]


@everywhere
def test_the_system_finds_out_when_a_server_is_gone(where: str) -> None:
    with RawServer(answers(HEALTHY)) as server:

        def steps(client: Any) -> Iterator[Any]:
            yield client.health_check()
            (descriptor,) = connections(server.port)
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as connected:
                assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                if hasattr(socket, "TCP_KEEPIDLE"):
                    assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30

        use(where, steps, server.url)


# Much at once


@in_each_loop
def test_a_server_waits_for_whoever_reads_slowly(loop: str) -> None:
    # More than the 32 MiB that systems may hold.
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
        found = 0
        async for _ in client.run_events(RUN_ID):
            if not found:
                before = 0
                while len(sent) > before:
                    before = len(sent)
                    await asyncio.sleep(0.5)
                # What the socket and the client hold is not all of it.
                assert before < count
            found += 1
        assert found == count

    with RawServer(talk) as server:
        use(loop, lambda client: iter([read(client)]), server.url, server_release="0.13")


@everywhere
def test_a_server_that_takes_nothing(where: str) -> None:
    def talk(conversation: Conversation) -> None:
        time.sleep(2)

    def steps(client: Any) -> Iterator[Any]:
        yield client.store_blob("x" * 30_000_000)

    with RawServer(talk) as server:
        with pytest.raises(RequestTimeoutError):
            use(where, steps, server.url, server_release="0.13", timeout=0.5, retry=ONCE)
        assert not connections(server.port)


# Event loops that end

ENDED = """
import asyncio, gc, sys, psutil, uvloop
from stepflow_client import StepflowClient

url, loop = sys.argv[1:]
factory = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}[loop]
kept = []

async def call(client):
    await asyncio.gather(*(client.health_check() for _ in range(3)))

for _ in range(5):
    with asyncio.Runner(loop_factory=factory) as runner:
        kept.append(StepflowClient(url))
        runner.run(call(kept[-1]))
        runner.run(call(kept[0]))
    gc.collect()
print(sum(bool(each.raddr) for each in psutil.Process().net_connections("tcp")))
kept.clear()
gc.collect()
"""


@in_each_loop
def test_no_connection_is_left_when_an_event_loop_ends(loop: str) -> None:
    with RawServer(answers(HEALTHY)) as server:
        command = [sys.executable, "-W", "error", "-c", ENDED, server.url, loop]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", *how.split(), *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


@everywhere
@pytest.mark.parametrize("told", [True, False], ids=["told", "cut off"])
@pytest.mark.parametrize("begin", [OK + b"\r\n", OK + b"content-length: 100000\r\n\r\n"], ids=["no length", "a length"])
def test_the_end_of_tls(where: str, told: bool, begin: bytes, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(conversation: Conversation) -> None:
        conversation.read()
        conversation.say(begin + BODY)
        if told:
            assert isinstance(conversation.socket, ssl.SSLSocket)
            conversation.socket = conversation.socket.unwrap()
        else:
            # As anybody can who sits in between.
            conversation.socket = socket.socket(fileno=conversation.socket.detach())

    with RawServer(talk, context) as server:
        settings = {"verify": str(certificate), "retry": ONCE, "timeout": 5}
        if told and b"length" not in begin:
            use(where, checks, server.url, **settings)
            return
        with pytest.raises(ServerConnectionError, match="cut off" if not told else "in the middle"):
            use(where, checks, server.url, **settings)


@everywhere
def test_a_connection_over_tls_is_used_again(where: str, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def steps(client: Any) -> Iterator[Any]:
        for _ in range(3):
            yield client.health_check()
            time.sleep(0.05)

    with RawServer(answers(HEALTHY), context) as server:
        use(where, steps, server.url, verify=str(certificate))
        assert [len(each.requests) for each in server.conversations] == [3]


# What is shown


def test_a_request_shows_no_credentials() -> None:
    headers = {"authorization": "Bearer hidden", "x-key": "hidden"}
    request = HttpRequest("POST", "/runs", headers=headers, content=b'{"variables": {"key": "hidden"}}')
    assert "POST" in repr(request)
    assert "hidden" not in repr(request) + str(request)
