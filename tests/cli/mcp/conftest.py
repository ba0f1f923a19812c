"""Fixtures for the tests of `stepflow mcp`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import StepflowRuntime
from stepflow_client.history import History

from tests.cli.mcp import agents


@pytest.fixture
def url(newest_server: StepflowRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a server; the test has its own history."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return newest_server.url


@pytest.fixture
def recorded(url: str) -> Callable[[], list[Any]]:
    """A function that returns the runs in the test's history."""
    return lambda: History().search(limit=100_000)


@pytest.fixture(params=["auto", pytest.param("legacy", marks=pytest.mark.exhaustive)])
def mode(request: pytest.FixtureRequest) -> str:
    """The client's connection mode: legacy, with the handshake of protocols up to 2025-11-25, or auto, without it."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of flows."""
    return agents.write_flows(tmp_path / "flows", agents.GREET, agents.SLOW, agents.BROKEN)
