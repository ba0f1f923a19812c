"""Fixtures of the server tests: a server with a Python worker, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import LogConfig, StepflowClient, StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests import releases, workers
from tests.differences import has
from tests.server.awaited import Awaited


@pytest.fixture(scope="session")
def worker_runtime(release: str) -> Iterator[StepflowRuntime]:
    """An embedded server of the release with the builtin components and a Python worker, shared by all tests."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(
            config=workers.config(release),
            env={"STEPFLOW_LOG_LEVEL": "ERROR", "STEPFLOW_TRACE_ENABLED": "false"},
            log_config=LogConfig(level="warn"),
        )
    with started as server:
        yield server


@asynccontextmanager
async def open_client(kind: str, url: str, **settings: Any) -> AsyncIterator[Any]:
    """Open an async or blocking client; the methods of both are awaited."""
    if kind == "async":
        async with StepflowClient(url, **settings) as opened:
            yield opened
    else:
        with SyncStepflowClient(url, **settings) as twin:
            yield Awaited(twin)


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    """An async or blocking client of the shared server."""
    async with open_client(request.param, worker_runtime.url) as opened:
        yield opened


@pytest.fixture
def needs_events(release: str) -> None:
    """Skip the test on servers without event streams."""
    if not has(release, "events"):
        pytest.skip("the server has no event streams (see test_operations)")


@pytest.fixture
def history(tmp_path: Path) -> History:
    """An empty history."""
    return History(tmp_path / "history.db")


@pytest.fixture(params=["async", "sync"])
async def recorded(
    request: pytest.FixtureRequest, worker_runtime: StepflowRuntime, history: History
) -> AsyncIterator[Any]:
    """An async or blocking client that records its runs in the history."""
    async with open_client(request.param, worker_runtime.url, history=history) as opened:
        yield opened
