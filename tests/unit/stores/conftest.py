"""Stores for the history tests: a test that uses `location` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture(autouse=True)
def closed_connections() -> Iterator[None]:
    """Close the test's connections; otherwise a later test would get their warnings."""
    yield
    if module := sys.modules.get("stepflow_client._stores.postgres_history"):
        module._close_databases()


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, path: Path) -> str:
    """The path of a file, or the URL of a database."""
    if request.param == "sqlite":
        return str(path)
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()
