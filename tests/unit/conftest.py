"""Unit tests do not wait: the delays between the client's attempts are (nearly) zero."""

from __future__ import annotations

import pytest

from tests.timings import set_timings


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", lambda low, high: 0.0)
    set_timings(monkeypatch, search_outage=0.05, arrival_delay=0.001, wait_outage=0.05)
