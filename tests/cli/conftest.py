"""Fixtures of the command's tests: the command itself, a server, a terminal, and golden files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import SLEEPING, Start
from tests.cli.terminal import Terminal


@pytest.fixture
def stepflow(request: pytest.FixtureRequest, tmp_path: Path) -> Stepflow:
    """The command, in a folder with copies of the flows in `flows/`, and with an empty home folder."""
    folder, home = tmp_path / "work", tmp_path / "home"
    shutil.copytree(Path(__file__).parent / "flows", folder)
    home.mkdir()
    marker = request.node.get_closest_marker("in_process")
    return Stepflow(folder, home, in_process=marker is not None and marker.args != (False,))


@pytest.fixture(scope="session")
def newest_server() -> Iterator[StepflowRuntime]:
    """A server of the newest release with the builtin components, shared by all tests of a session."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        config = releases.builtin_config(releases.NEWEST)
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started as server:
        yield server


@pytest.fixture
def server(newest_server: StepflowRuntime, stepflow: Stepflow) -> str:
    """The URL of a server, which is also set as STEPFLOW_URL for the test's commands."""
    stepflow.environment["STEPFLOW_URL"] = newest_server.url
    return newest_server.url


@pytest.fixture
def terminal(stepflow: Stepflow) -> Iterator[Callable[..., Terminal]]:
    """Run the command on a terminal: `terminal("health", width=60)`. The default width is 120 columns."""
    started: list[Terminal] = []

    def start(*args: str, width: int = 120, height: int = 100, **environment: str) -> Terminal:
        inherited = {key: value for key, value in stepflow.environment.items() if key != "COLUMNS"}
        new_terminal = Terminal(
            args, stepflow.folder, {"TERM": "xterm-256color", **inherited, **environment}, width, height
        )
        started.append(new_terminal)
        return new_terminal

    yield start
    for each in started:
        each.close()


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    """Compares output with the golden file of the test."""
    module = Path(request.node.fspath).stem.removeprefix("test_")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", request.node.name.removeprefix("test_")).strip("_")
    return Golden(f"{module}/{name}", tmp_path, rewrite=request.config.getoption("--rewrite-golden"))


@pytest.fixture
def start(newest_server: StepflowRuntime, server: str) -> Start:
    """Run a flow on a list of inputs and return the run ID: `start("hello.yaml", [{"name": "Ada"}])`."""

    def run(flow: Any, inputs: Any = (None,), *, wait: bool = True) -> str:
        client = newest_server.sync_client
        source = flow if isinstance(flow, dict) else Path(__file__).parent / "flows" / flow
        run_id = client.submit(source, list(inputs))
        if wait:
            client.wait_run(run_id, timeout=60)
        return run_id

    return run


@pytest.fixture
def ada(start: Start) -> str:
    """A completed run of one item."""
    return start("hello.yaml", [{"name": "Ada"}])


@pytest.fixture
def failed(start: Start) -> str:
    """A failed run of one item."""
    return start("fails.yaml", [{"nam": "Ada"}])


@pytest.fixture
def batch(start: Start) -> str:
    """A run of three items, the first of which failed."""
    return start("fails.yaml", [{"nam": "Ada"}, {"name": "Ada"}, {"name": None}])


@pytest.fixture
def long(start: Start) -> Start:
    """Start a run that lasts longer than any test. The argument is the flow's name."""
    return lambda name="long": start({"name": name, "steps": [SLEEPING], "output": {"$step": "sleeping"}}, wait=False)


@pytest.fixture
def running(long: Start) -> str:
    """A run that lasts longer than any test."""
    return long()


@pytest.fixture
def cancelled(newest_server: StepflowRuntime, long: Start) -> str:
    """A run that is marked as cancelled."""
    run_id = long()
    newest_server.sync_client.cancel_run(run_id)
    return run_id
