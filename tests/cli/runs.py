"""Constants shared by the tests of `stepflow runs`."""

from __future__ import annotations

from collections.abc import Callable

Start = Callable[..., str]
"""Starts a run and returns its ID."""

FORMS = ("table", "json", "jsonl", "yaml", "name")
UNKNOWN = "0197aaaa-0000-7000-8000-000000000000"
"""The ID of a run that does not exist on any server."""

SLEEPING = {"id": "sleeping", "component": "/builtin/sleep", "input": {"duration_ms": 600_000}}
"""A step that takes longer than any test."""
