"""A method's `timeout=` limits the whole call, even if the server sends one byte at a time."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import pytest
import stepflow_client
from stepflow_client import RetryPolicy, StepflowClientError, SyncStepflowClient

from tests.raw_server import HEALTHY, OK, Conversation, RawServer, Talk
from tests.unit.both_twins import CALLS, Server, call
from tests.unit.http.test_sockets import both, use

LIMIT = 0.5
LATE = 15.0
"""Seconds, generous for a busy machine: without the limit, the server would keep sending forever."""
HEALTH = {"health_check", "server_info"}
STREAMS = {"map", "run_events"}
"""Methods whose timeout limits the iteration: see tests/server/test_stream_timeouts.py."""


class Limited:
    """Passes a timeout to every method of a client."""

    def __init__(self, client: Any, seconds: float = LIMIT) -> None:
        self._client = client
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        def limited(*args: Any, **options: Any) -> Any:
            return getattr(self._client, name)(*args, **{**options, "timeout": self._seconds})

        return limited


def trickle(begin: bytes) -> Iterator[bytes]:
    """Yield the start of a response and then one byte at a time, forever."""
    yield begin
    while True:
        yield b" "
        time.sleep(0.05)


def respond_slowly(begin: bytes, *, is_healthy: bool) -> Talk:
    """Respond slowly, but to health checks at once if the server is healthy."""

    def talk(conversation: Conversation) -> None:
        while head := conversation.read():
            if is_healthy and b" /api/v1/health " in head:
                conversation.say(HEALTHY)
            else:
                conversation.say(trickle(begin))

    return talk


def test_all_methods_have_a_timeout() -> None:
    def has_timeout(name: str) -> bool:
        signature = inspect.signature(getattr(SyncStepflowClient, name))
        options = re.search(r"Unpack\[(\w+)\]", str(signature))
        return "timeout" in (
            signature.parameters if options is None else getattr(stepflow_client, options[1]).__annotations__
        )

    assert [name for name in CALLS if not has_timeout(name)] == []


def time_failure(operation: Callable[[], Any]) -> float:
    """Return the seconds until a call of the blocking client fails."""
    started = time.monotonic()
    with suppress(StepflowClientError):
        result = operation()
        raise AssertionError(next(result) if isinstance(result, Iterator) else result)
    return time.monotonic() - started


async def time_failure_async(operation: Callable[[], Any]) -> float:
    """Return the seconds until a call of the asynchronous client fails."""
    started = time.monotonic()
    with suppress(StepflowClientError):
        result = operation()
        raise AssertionError(await (anext(result) if isinstance(result, AsyncIterator) else result))
    return time.monotonic() - started


@both
@pytest.mark.parametrize("is_healthy", [True, False], ids=["healthy", "slow from the start"])
@pytest.mark.parametrize("begin", [OK + b"x: ", OK + b"content-length: 1000000\r\n\r\n"], ids=["the head", "the body"])
def test_trickling_responses_time_out(twin: str, begin: bytes, is_healthy: bool) -> None:
    names = [name for name in CALLS if name not in STREAMS and not (is_healthy and name in HEALTH)]
    settings: dict[str, Any] = {"timeout": 20, "retry": RetryPolicy(max_attempts=1)}
    seconds: list[float] = []

    def calls(client: Any) -> list[Callable[[], Any]]:
        return [partial(CALLS[name], Limited(client)) for name in names]

    async def together(client: Any) -> None:
        seconds.extend(await asyncio.gather(*map(time_failure_async, calls(client))))

    for name in names:
        # Import everything first: it takes seconds, and pytest cannot rewrite modules in several threads at once.
        with suppress(StepflowClientError):
            call("sync", httpx.MockTransport(Server()), CALLS[name])
    with RawServer(respond_slowly(begin, is_healthy=is_healthy)) as server:
        if twin == "sync":
            with SyncStepflowClient(server.url, **settings) as client, ThreadPoolExecutor(len(names)) as pool:
                seconds.extend(pool.map(time_failure, calls(client)))
        else:
            use(twin, lambda client: iter([together(client)]), server.url, **settings)
    late = {name: taken for name, taken in zip(names, seconds, strict=True) if taken >= LATE}
    assert late == {}


@both
def test_the_client_timeout_limits_each_phase(twin: str) -> None:
    def talk(conversation: Conversation) -> None:
        while conversation.read():
            for start in range(0, len(HEALTHY), 40):
                conversation.say(HEALTHY[start : start + 40])
                time.sleep(0.2)

    def calls(client: Any) -> Iterator[Any]:
        started = time.monotonic()
        yield client.health_check()
        assert time.monotonic() - started > 1

    with RawServer(talk) as server:
        use(twin, calls, server.url, timeout=0.8)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "2"])
def test_invalid_timeouts_are_rejected(timeout: Any) -> None:
    with SyncStepflowClient("http://127.0.0.1:9") as client:
        for method in (client.list_runs, client.health_check):
            with pytest.raises(StepflowClientError, match="timeout"):
                method(timeout=timeout)
