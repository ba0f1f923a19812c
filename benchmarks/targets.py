"""Performance targets. Each is a ratio of two figures from the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.cases import batch, checks, codec, latency, server, start, streaming, throughput
from benchmarks.peers import BARE, BARE_JSON, OURS, PLAIN_HTTPX, UPSTREAM
from benchmarks.series import Key, Results, Spread


@dataclass(frozen=True)
class Target:
    """A limit on a ratio."""

    text: str
    above: Key
    below: Key
    limit: float
    bound: Literal["at least", "at most"] = "at most"

    def verdict(self, results: Results) -> tuple[Spread | None, str]:
        """Return the ratio and whether it meets the limit."""
        ratio = results.ratio(self.above, self.below)
        if ratio is None:
            return None, "not measured"
        kept = ratio.median >= self.limit if self.bound == "at least" else ratio.median <= self.limit
        return ratio, "pass" if kept else "miss"


def _throughput(concurrency: int, peer: str, limit: float) -> Target:
    at = f"{concurrency} at once"
    above, below = (Key(throughput.CASE, throughput.RATE, at, each) for each in (OURS, peer))
    return Target(f"`run()` per second, {at} / {peer}", above, below, limit, "at least")


def _latency(at: str, peer: str, limit: float) -> Target:
    above, below = (Key(latency.CASE, latency.TIME, at, each) for each in (OURS, peer))
    return Target(f"`run()` one after the other, {at} / {peer}", above, below, limit)


def _decoding(way: str, limit: float = 2.0) -> Target:
    above, below = (Key(codec.DECODE, codec.DECODE_TIME, "10,000 items", each) for each in (way, codec.JSON_LOADS))
    return Target(f"{way}, 10,000 items / json.loads", above, below, limit)


def _item_memory(way: str) -> Target:
    above, below = (Key(codec.DECODE, codec.DECODE_MEMORY, f"{size} items", way) for size in ("10,000", "1,000"))
    return Target(f"{way}: memory of an item, 10,000 / 1,000 items", above, below, 1.1)


def _started(what: str, than: str, limit: float) -> Target:
    above, below = (Key(start.CASE, start.TIME, start.AT, each) for each in (what, than))
    return Target(f"`{what}` / `{than}`", above, below, limit)


def _step_check(above: tuple[str, str], below: tuple[str, str], limit: float) -> Target:
    keys = [Key(checks.CASE, checks.STEP_TIME, at, way) for at, way in (above, below)]
    return Target(f"checking a step, {', '.join(above)} / {', '.join(below)}", keys[0], keys[1], limit)


def _batch(large: str, small: str) -> Target:
    above, below = (Key(batch.CASE, batch.OWN_CPU, f"{size} items", OURS) for size in (large, small))
    return Target(f"batch: own CPU of an item, {large} / {small} items", above, below, 1.2)


def _streaming(peer: str, limit: float, at: str = streaming.AT) -> Target:
    above, below = (Key(streaming.CASE, streaming.RATE, at, each) for each in (OURS, peer))
    return Target(f"`map`, items per second, {at} / {peer}", above, below, limit, "at least")


def _server(started: str) -> Target:
    above, below = (Key(server.CASE, server.RATE, server.AT, each) for each in (started, server.BY_HAND))
    return Target(f"calls per second, {started} / {server.BY_HAND}", above, below, 0.9, "at least")


TARGETS = (
    _throughput(32, UPSTREAM, 1.2),
    _throughput(256, UPSTREAM, 1.2),
    _throughput(32, PLAIN_HTTPX, 5.0),
    _throughput(256, PLAIN_HTTPX, 5.0),
    _latency("p50", BARE, 1.5),
    _latency("p95", UPSTREAM, 1.0),
    _server(server.SERVE),
    _server(server.RUNTIME),
    _decoding(codec.LISTED),
    _decoding(codec.LISTED + codec.LOOKED_AT),
    _decoding(codec.CALLED),
    _decoding(codec.CALLED + codec.LOOKED_AT),
    _item_memory(codec.CALLED),
    _item_memory(codec.CALLED + codec.LOOKED_AT),
    _batch("10,000", "1,000"),
    _batch("100,000", "10,000"),
    _batch("100,000", "1,000"),
    _streaming(BARE_JSON, 0.9),
    _streaming(UPSTREAM, 1.0),
    _streaming(UPSTREAM, 3.0, streaming.AT_LARGE),
    _started(start.CLIENT, start.UPSTREAM_IMPORT, 1.0),
    _started(start.VERSION, start.PASS, 1.5),
    _started(start.HELP, start.PASS, 5.0),
    _started(start.COMPLETION, start.PASS, 3.0),
    _started(start.LIST, start.PASS, 6.0),
    _started(start.RUN, start.PASS, 9.0),
    _step_check(("10,000 steps", checks.IN_ORDER), ("100 steps", checks.IN_ORDER), 1.3),
    _step_check(("3,000 steps", checks.REVERSED), ("3,000 steps", checks.IN_ORDER), 1.25),
)
