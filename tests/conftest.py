"""What all tests share: which servers they run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        default=releases.NEWEST,
        help="the releases that the server tests run on: 'all', or a list such as 0.9.0,0.13.0",
    )
    parser.addoption("--wheels", default=None, help="the folder of the built wheels, for tests/packaging")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A test that uses a server, directly or through a fixture, runs once for each release.
    if "release" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--servers")
        metafunc.parametrize("release", releases.RELEASES if wanted == "all" else wanted.split(","), scope="session")


@pytest.fixture(scope="session")
def runtime(release: str) -> Iterator[StepflowRuntime]:
    """An embedded server of the release, with the builtin components, shared by all tests of a session."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(config=releases.builtin_config(release), log_config=LogConfig(level="warn"))
    with started as server:
        yield server


@pytest.fixture(scope="session")
def server_url(runtime: StepflowRuntime) -> str:
    """The root URL of the server of the session."""
    return runtime.url
