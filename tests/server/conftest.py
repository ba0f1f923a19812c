"""What the server tests share: a server with a Python worker, and the ways to it."""

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
async def either(kind: str, url: str, **settings: Any) -> AsyncIterator[Any]:
    """Return a client of a kind, `async` or `sync`; both are awaited."""
    if kind == "async":
        async with StepflowClient(url, **settings) as made:
            yield made
    else:
        with SyncStepflowClient(url, **settings) as twin:
            yield Awaited(twin)


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    """A client of the shared server, of either kind."""
    async with either(request.param, worker_runtime.url) as made:
        yield made


@pytest.fixture
def needs_events(release: str) -> None:
    """Skip a test on servers without a stream of events."""
    if not has(release, "events"):
        pytest.skip("the server has no stream of events: test_operations")


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A history of the test's own."""
    return History(tmp_path / "history.db")


@pytest.fixture(params=["async", "sync"])
async def recorded(
    request: pytest.FixtureRequest, worker_runtime: StepflowRuntime, history: History
) -> AsyncIterator[Any]:
    """A client that records its runs."""
    async with either(request.param, worker_runtime.url, history=history) as made:
        yield made
