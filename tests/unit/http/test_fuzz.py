"""Random and mutated responses raise only the client's own errors, and in time."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from stepflow_client import StepflowClientError
from stepflow_client._http.http1_format import HttpError, ResponseReader

from tests.raw_server import BODY, HEALTHY, OK, Conversation, RawServer
from tests.unit.both_twins import EVENT, ITEM, RUN_ID, STEP, SUMMARY, TWINS, call

RESPONSES = 10_000
SOCKET_CALLS = 80
"""Calls per twin."""
TIMEOUT, LATE = 0.3, 0.5

RUN = json.dumps({"summary": SUMMARY, "results": [ITEM], "steps": [STEP]}).encode()
VALID = [
    HEALTHY,
    OK + b"content-length: %d\r\n\r\n" % len(RUN) + RUN,
    OK + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nx-a: b\r\n\r\n" % (len(RUN), RUN),
    OK
    + b"transfer-encoding: chunked\r\n\r\n5;x=y\r\n"
    + RUN[:5]
    + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(RUN) - 5, RUN[5:]),
    OK + b"connection: close\r\n\r\n" + RUN,
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEALTHY,
    b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: " + json.dumps(EVENT).encode() + b"\n\n",
]
PIECES = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"HTTP/1.1 ",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    b"content-length: 5\r\n",
    b"content-length: 18446744073709551616\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"content-encoding: gzip\r\n",
    b"trailer: x\r\n",
    b"x-a: " + b"y" * 1000 + b"\r\n",
    b"x-a: y\r\n" * 300,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    b"{" * 2000,
    b"1\r\n{\r\n" * 500,
]


def mutated(rng: random.Random) -> bytes:
    """Return a valid response with random changes, or occasionally random bytes."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(300))
    response = bytearray(rng.choice(VALID))
    for _ in range(rng.randrange(1, 6)):
        at, length = rng.randrange(len(response) + 1), rng.randrange(1, 20)
        # Favor the head, where most of the parsing happens.
        at = at if rng.random() < 0.4 else min(at, rng.randrange(120))
        match rng.randrange(7):
            case 0:
                response[at : at + 1] = rng.randbytes(1)
            case 1:
                del response[at : at + length]
            case 2:
                response[at:at] = response[at : at + length]
            case 3 | 4:
                response[at:at] = rng.choice(PIECES)
            case 5:
                other = rng.choice(VALID)
                response[at:] = other[rng.randrange(len(other)) :]
            case _:
                response += rng.choice(VALID) if rng.random() < 0.5 else rng.choice(PIECES)
    return bytes(response) if rng.random() < 0.9 else bytes(response[: rng.randrange(len(response) + 1)])


@pytest.mark.exhaustive
def test_mutated_responses_are_read_or_refused() -> None:
    rng = random.Random(11)
    reader, outcomes = ResponseReader(), Counter[str]()
    for number in range(RESPONSES):
        response, size = mutated(rng), rng.choice([1, 7, 100, 100_000])
        max_bytes = rng.choice([None, 10, 100_000])
        reader.begin_response(rng.choice(["GET", "GET", "HEAD"]), max_bytes)
        started = time.thread_time()
        try:
            for start in range(0, len(response), size):
                reader.feed(response[start : start + size])
            reader.feed(b"")
        except HttpError as error:
            outcomes["refused" if str(error) else "silent"] += 1
            reader = ResponseReader()
        else:
            body = reader.take_body()
            assert reader.complete, number
            assert 200 <= reader.status <= 999, number
            assert len(body) <= len(response), number
            outcomes["read"] += 1
            if reader.extra or not reader.keep_alive:
                reader = ResponseReader()
        assert time.thread_time() - started < LATE, number
    # Both outcomes occur often enough for the test to mean something.
    assert set(outcomes) == {"read", "refused"}
    assert min(outcomes.values()) > RESPONSES / 20, outcomes


CALLS: list[Callable[[Any], Any]] = [
    lambda client: client.get_result(RUN_ID, timeout=TIMEOUT),
    lambda client: client.get_results(RUN_ID, timeout=TIMEOUT),
    lambda client: client.wait_run(RUN_ID, timeout=TIMEOUT),
    lambda client: client.health_check(timeout=TIMEOUT),
]


def attempt(twin: str, seed: int) -> float:
    """Call a server that sends mutated responses; return by how many seconds the call exceeded its timeout."""
    rng = random.Random(seed)

    def talk(conversation: Conversation) -> None:
        while conversation.read():
            response, at = mutated(rng), 0
            while at < len(response):
                size = rng.choice([50, 500, 100_000])
                conversation.say(response[at : at + size])
                at += size
            if rng.random() < 0.5:
                return

    with RawServer(talk) as server:
        started = time.monotonic()
        with suppress(StepflowClientError):
            call(twin, None, CALLS[seed % len(CALLS)], server.url, server_release="0.13", timeout=TIMEOUT)
        return time.monotonic() - started - TIMEOUT


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
@pytest.mark.parametrize("twin", TWINS)
def test_mutated_responses_on_a_socket_raise_only_client_errors(twin: str) -> None:
    late = [seed for seed in range(SOCKET_CALLS) if attempt(twin, seed) > LATE]
    # Try late calls again: the machine may just have been busy.
    assert [seed for seed in late if attempt(twin, seed) > LATE] == []
