"""Fixtures that start `stepflow ui` once per test session."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import httpx
import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import FORKED, fork_environment
from tests.cli.ui.process import StartUi, Ui, read_link


@pytest.fixture(scope="session")
def start_ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUi]:
    """Start `stepflow ui` with `start_ui(url)`; the fixture kills processes still running at the end."""
    started = []
    home = tmp_path_factory.mktemp("ui")

    def start(url: str, *args: str, **environment: str) -> Ui:
        process = subprocess.Popen(
            [str(FORKED), "ui", "--url", url, "--no-open", *args],
            env={"HOME": str(home), **fork_environment(), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        link = read_link(process)
        return Ui(process, link, link.partition("/?")[0])

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def ui(start_ui: StartUi, newest_server: StepflowRuntime) -> Ui:
    """The pages for the session's server."""
    return start_ui(newest_server.url)


@pytest.fixture(scope="session")
def session(ui: Ui) -> Iterator[httpx.Client]:
    """An HTTP client that has opened the link and holds the session cookie."""
    with ui.browser() as client:
        yield client
