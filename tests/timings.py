"""Override the timings of a test's clients."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._rules import timing_constants


def set_timings(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change the timings of all clients created from now on. Raise ValueError for an unknown name."""
    monkeypatch.setattr(timing_constants, "DEFAULT", timing_constants.DEFAULT._replace(**changes))
