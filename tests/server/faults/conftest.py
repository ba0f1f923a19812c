"""Fixtures of the fault tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.faults.proxied import (
    AT_ONCE,
)


@pytest.fixture(autouse=True)
async def threads() -> AsyncIterator[None]:
    """Enough threads for the blocking client of each proxy."""
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield


@pytest.fixture
def own_connections(request: pytest.FixtureRequest) -> None:
    """For what only the client's own pool promises."""
    if request.config.getoption("--transport") != "own":
        pytest.skip("plain httpx leaves its connections to whoever forgets or cancels it")
