"""What the server tests share: a server with a Python worker, and the ways to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from stepflow_client import LogConfig, StepflowClient, StepflowRuntime, SyncStepflowClient

from tests import releases, workers
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


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    """A client of the shared server, of either kind; both are awaited."""
    if request.param == "async":
        async with StepflowClient(worker_runtime.url) as made:
            yield made
    else:
        with SyncStepflowClient(worker_runtime.url) as twin:
            yield Awaited(twin)
