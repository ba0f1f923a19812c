"""Fixtures of the fault tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.faults.proxied import (
    CONCURRENCY,
)


@pytest.fixture(autouse=True)
async def threads() -> AsyncIterator[None]:
    """Provide enough threads for a blocking client behind each proxy."""
    with ThreadPoolExecutor(2 * CONCURRENCY) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield


@pytest.fixture
def own_connections(request: pytest.FixtureRequest) -> None:
    """Skip the test with plain httpx, because only the client's own pool makes this guarantee."""
    if request.config.getoption("--transport") != "own":
        pytest.skip("plain httpx does not clean up connections of forgotten clients and cancelled calls")
