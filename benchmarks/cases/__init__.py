"""The cases, one module each with a `measure` function. CASES lists them in execution order."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.cases import batch, checks, codec, editor, events, latency, memory, server, start, streaming, throughput

CASES: dict[str, Callable[[Bench], None]] = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "server": server.measure,
    "batch": batch.measure,
    "map": streaming.measure,
    "decode": codec.measure_decoding,
    "encode": codec.measure_encoding,
    "check": checks.measure,
    "editor": editor.measure,
    "events": events.measure,
    "start": start.measure,
    "memory": memory.measure,
}
