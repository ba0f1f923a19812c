"""Unit tests do not wait: what the client waits for between attempts passes at once."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.transient.random.uniform", lambda low, high: 0.0)
    for twin in ("_async", "_sync"):
        creation = importlib.import_module(f"stepflow_client.{twin}.creation")
        monkeypatch.setattr(creation, "_OUTAGE", 0.05)
        monkeypatch.setattr(creation, "_LATE", 0.001)
        monkeypatch.setattr(importlib.import_module(f"stepflow_client.{twin}.waiting"), "_OUTAGE", 0.05)
