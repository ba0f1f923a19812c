"""Decoding and encoding without a server, using a recorded response and a transport that discards requests."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from stepflow_client import StepflowClient
from stepflow_client._checks.checker import check_source
from stepflow_client._codec import responses
from stepflow_client._data.wire import decode_keeping_floats
from stepflow_client.flows.syntax_tree import FlowText

from benchmarks.workload import large_input, steps_in_order

_URL, _SERVER = "http://localhost:1", "0.13.0"
# See `drivers` for why this isn't a Runner.
_LOOP = asyncio.new_event_loop()
_RUN_ID = "01a21045-ac8f-7681-b87a-1939596f71c4"


def decode(way: str, path: str, repeat: int) -> float:
    """Return how long decoding a recorded response takes, in seconds.

    Args:
        way: One of the names in `_decoders`.
        path: The file with the response.
        repeat: How many times to decode it.
    """
    content = Path(path).read_bytes()
    read = _decoders(content)[way]
    read()
    started = time.perf_counter()
    for _ in range(repeat):
        read()
    return (time.perf_counter() - started) / repeat


def decoded_memory(way: str, path: str) -> int:
    """Return how much memory a decoded response holds, in bytes."""
    content = Path(path).read_bytes()
    read = _decoders(content)[way]
    read()
    tracemalloc.start()
    held = read()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held is not None
    return taken


def _decoders(content: bytes) -> dict[str, Callable[[], Any]]:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=content, headers=_JSON))
    client = StepflowClient(_URL, transport=answer, server_release=_SERVER)

    def listed() -> Any:
        return responses.read_items(
            _RUN_ID, responses.parse_object(content, "GET /items", decode_keeping_floats)["results"]
        )

    def called() -> Any:
        return _LOOP.run_until_complete(client.get_run_items(_RUN_ID))

    return {
        "json.loads": lambda: json.loads(content),
        "decoding alone": listed,
        "decoding alone, all items looked at": lambda: [item.result for item in listed().items],
        "get_run_items": called,
        "get_run_items, all items looked at": lambda: [item.result for item in called().items],
    }


_JSON = {"content-type": "application/json"}


def encode(way: str, size: int) -> float:
    """Return how long encoding an input (and sending it to a null transport) takes, in seconds.

    Args:
        way: One of the names below.
        size: The input size in bytes of JSON.
    """
    value = large_input(size)
    body = {"flowId": "f" * 64, "input": [value]}
    summary = {"runId": _RUN_ID, "flowId": "f" * 64, "status": 1, "items": dict.fromkeys(_COUNTS, 0)}
    summary |= {"createdAt": "2026-01-01T00:00:00Z", "rootRunId": _RUN_ID, "createdAtSeqno": 0}
    taken = httpx.MockTransport(lambda _: httpx.Response(200, json={"summary": summary, "results": []}))
    client = StepflowClient(_URL, transport=taken, server_release=_SERVER)
    plain = httpx.AsyncClient(transport=taken, base_url=_URL)
    write: dict[str, Callable[[], Any]] = {
        "json.dumps": lambda: json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
        "plain httpx": lambda: _LOOP.run_until_complete(plain.post("/runs", json=body)),
        "ours": lambda: _LOOP.run_until_complete(client.create_run("f" * 64, value)),
    }
    write[way]()
    started = time.perf_counter()
    write[way]()
    return time.perf_counter() - started


def check_steps(is_reversed: bool, steps: int, repeat: int) -> float:
    """Return the CPU seconds per step for checking a flow where each step reads the previous one.

    Args:
        is_reversed: Whether each step is listed before the one it reads.
        steps: The number of steps.
        repeat: How many times to check the flow.
    """
    text = steps_in_order(steps, is_reversed=is_reversed)
    started = time.process_time()
    for _ in range(repeat):
        check_source(FlowText(text, "flow.yaml"))
    return (time.process_time() - started) / repeat / steps


_COUNTS = ("total", "completed", "running", "failed", "cancelled")
