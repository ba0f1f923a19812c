"""Connections to a server on a socket of its own, which does what real servers do not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from stepflow_client import StepflowClient

from tests.unit.test_garbage import HEALTHY, OK, NastyServer

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
HEALTH_ANSWER = OK + b"content-length: %d\r\n\r\n" % len(HEALTHY) + HEALTHY

in_each_loop = pytest.mark.parametrize("loop", LOOPS)


def run(loop: str, main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main())


@in_each_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "several.test"])
def test_a_connection_in_any_event_loop(loop: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with NastyServer([HEALTH_ANSWER]) as server:
        url = server.url.replace("127.0.0.1", host)
        port = int(url.rpartition(":")[2])

        async def main() -> Any:
            async def addresses(_: Any, name: str, *args: Any, **options: Any) -> list[Any]:
                found = ["127.0.0.2", "127.0.0.1"] if name == host else [name]
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

            if host == "several.test":
                # Nobody listens at the first of them.
                monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", addresses, raising=False)
            async with StepflowClient(url, timeout=5) as client:
                return await client.health_check()

        assert run(loop, main).status == "healthy"
