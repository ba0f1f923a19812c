"""Other timings for the clients that a test makes."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._rules import timings


def set_timings(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change timings of all clients, of both twins, that are made from now on; an unknown name is a ValueError."""
    monkeypatch.setattr(timings, "DEFAULT", timings.DEFAULT._replace(**changes))
