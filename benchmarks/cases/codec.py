"""Decoding large responses and encoding large inputs, without a server."""

from __future__ import annotations

from pathlib import Path

import httpx
from stepflow_client import SyncStepflowClient

from benchmarks.bench import Bench, Workers
from benchmarks.environment import SCRATCH
from benchmarks.workload import FLOW, batch_input

DECODE, ENCODE = "decode", "encode"
DECODE_TIME, DECODE_MEMORY = "time of one answer, ms", "memory of an item, bytes"
ENCODE_TIME = "time of one input, ms"
JSON_LOADS = "json.loads"
LISTED, CALLED = "decoding alone", "get_run_items"
LOOKED_AT = ", all items looked at"
WAYS = (JSON_LOADS, LISTED, LISTED + LOOKED_AT, CALLED, CALLED + LOOKED_AT)
_ENCODERS = ("json.dumps", "plain httpx", "ours")
_INPUT = 10_000_000


def measure_decoding(bench: Bench) -> None:
    """Measure how long a run's items take to decode, and how much memory they then use.

    The client decodes items lazily, so measure both the list alone and the list with all items accessed.
    """
    answers = {size: _record(bench, size) for size in (1_000, 10_000)}
    with bench.offline_workers(WAYS) as workers:
        for size, path in answers.items():
            _decode(bench, workers, size, str(path))


def _decode(bench: Bench, workers: Workers, size: int, path: str) -> None:
    at = f"{size:,} items"
    for _ in bench.count_rounds(7, 1):
        for way, worker in workers.items():
            # Read short responses several times.
            taken = worker.ask("offline", function="decode", way=way, path=path, repeat=10_000 // size).value
            bench.results.add(DECODE, DECODE_TIME, at, way, taken * 1000)
    for way, worker in workers.items():
        held = worker.ask("offline", function="decoded_memory", way=way, path=path).value
        bench.results.add(DECODE, DECODE_MEMORY, at, way, held / size)


def _record(bench: Bench, size: int) -> Path:
    """Record the server's response to a request for a run's items."""
    recorded = SCRATCH / f"items-{size}.json"
    with bench.server() as url, SyncStepflowClient(url) as client:
        run_id = client.submit(FLOW, batch_input(size))
        client.wait_run(run_id, timeout=60)
        recorded.write_bytes(httpx.get(f"{url}/api/v1/runs/{run_id}/items", trust_env=False).content)
    return recorded


def measure_encoding(bench: Bench) -> None:
    """Measure encoding a 10 MB input and sending it to a transport that discards it."""
    size = bench.amount(_INPUT, _INPUT // 4)
    with bench.offline_workers(_ENCODERS) as workers:
        for _ in bench.count_rounds(5):
            for way, worker in workers.items():
                taken = worker.ask("offline", function="encode", way=way, size=size).value
                bench.results.add(ENCODE, ENCODE_TIME, f"{size / 1e6:g} MB", way, taken * 1000)
