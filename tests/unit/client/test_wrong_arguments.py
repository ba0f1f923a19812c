"""Wrong arguments: whatever is given to a public function, what leaves it is an error of this package.

Each parameter of each public function, class and method is given values of many kinds, while the others are right. A
TypeError is right only where Python itself refuses a call: for names and numbers of arguments.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import stepflow_client
from stepflow_client import History, ResultCache, StepflowClientError, SyncStepflowClient, testing
from stepflow_client.testing import FakeServer, fake_server

from scripts.public_surface import PUBLIC_MODULES

FLOW = {
    "name": "wrong",
    "schemas": {"properties": {"input": {"type": "object"}}},
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class Hostile:
    """An object all of whose special methods fail."""

    def _fail(self, *_: Any) -> Any:
        raise AssertionError("asked")

    __len__ = __iter__ = __getitem__ = __bool__ = __fspath__ = __index__ = __float__ = __eq__ = __hash__ = _fail


class Colour(Enum):
    RED = "red"


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


WRONG: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "object": object,
    "class": lambda: int,
    "function": lambda: lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "negative": lambda: -1,
    "huge": lambda: 10**400,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "complex": lambda: 1j,
    "empty": str,
    "text": lambda: "no such thing",
    "nul": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "bytes": lambda: b"\xff",
    "list": lambda: [1, "a"],
    "tuple": lambda: (1, 2, 3),
    "set": lambda: {1},
    "mapping": lambda: {"a": 1},
    "keys": lambda: {1: 2},
    "nested": lambda: {"steps": [1], "schemas": 3, "output": {"$step": 7}},
    "endless": _endless,
    "deep": deep,
    "generator": lambda: (each for each in ()),
    "enum": lambda: Colour.RED,
    "folder": lambda: Path(__file__).parent / "no such folder",
    "exception": lambda: ValueError("given"),
}


@dataclass
class Right:
    """Values that are right, by the name of the parameter."""

    server: FakeServer
    folder: Path
    client: SyncStepflowClient = field(init=False)
    values: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.server.sync_client()
        run_id = self.client.submit(FLOW, {"n": 1})
        self.values = {
            "flow": FLOW,
            "input": {"n": 1},
            "inputs": [{"n": 1}],
            "run_id": run_id,
            "a": run_id,
            "b": run_id,
            "flow_id": self.client.store_flow(FLOW).flow_id,
            "blob_id": self.client.store_blob({"a": 1}).blob_id,
            "data": {"a": 1},
            "step_id": "a",
            "idempotency_key": "k",
        }
