"""Loops over a peer: sequential calls, or many concurrent ones for some time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.peers import AsyncPeer, SyncPeer


class Driver(Protocol):
    """The interface for both kinds of peers."""

    def open(self, url: str) -> None: ...

    def latency(self, calls: int) -> list[float]:
        """Return each call's duration in seconds."""

    def throughput(self, seconds: float, concurrency: int) -> tuple[int, float]:
        """Make concurrent calls for some seconds, and return the number completed and the seconds elapsed."""

    def prepare(self, count: int, is_tiny: bool = False) -> None: ...

    def batch(self) -> int: ...

    def stream(self) -> int: ...

    def events(self, run_id: str) -> int: ...

    def streams(self, run_id: str, count: int) -> tuple[float, int]:
        """Follow a run with many streams, and return when the last one began (in seconds) and the event count."""

    def close(self) -> None: ...


class AsyncDriver:
    """Drives a peer in an event loop that lives as long as the driver."""

    def __init__(self, peer: AsyncPeer) -> None:
        self._peer = peer
        # Don't use a Runner. It calls `repr` on the result (in `signal`), which can take longer than the measured code.
        self._loop = asyncio.new_event_loop()

    def open(self, url: str) -> None:
        self._loop.run_until_complete(self._peer.open(url))

    def latency(self, calls: int) -> list[float]:
        async def loop() -> list[float]:
            taken = []
            for _ in range(calls):
                started = time.perf_counter()
                await self._peer.run()
                taken.append(time.perf_counter() - started)
            return taken

        return self._loop.run_until_complete(loop())

    def throughput(self, seconds: float, concurrency: int) -> tuple[int, float]:
        async def loop() -> tuple[int, float]:
            started = time.perf_counter()

            async def one() -> int:
                done = 0
                while time.perf_counter() - started < seconds:
                    await self._peer.run()
                    done += 1
                return done

            counts = await asyncio.gather(*(one() for _ in range(concurrency)))
            return sum(counts), time.perf_counter() - started

        return self._loop.run_until_complete(loop())

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self._peer.prepare(count, is_tiny)

    def batch(self) -> int:
        return self._loop.run_until_complete(self._peer.batch())

    def stream(self) -> int:
        # Only some peers have `stream`.
        peer: Any = self._peer
        return int(self._loop.run_until_complete(peer.stream()))

    def events(self, run_id: str) -> int:
        return self._loop.run_until_complete(self._peer.events(run_id, _nothing))

    def streams(self, run_id: str, count: int) -> tuple[float, int]:
        async def loop() -> tuple[float, int]:
            started = time.perf_counter()
            begun: list[float] = []
            follow = (self._peer.events(run_id, lambda: begun.append(time.perf_counter())) for _ in range(count))
            counts = await asyncio.gather(*follow)
            return max(begun) - started, sum(counts)

        return self._loop.run_until_complete(loop())

    def close(self) -> None:
        self._loop.run_until_complete(self._peer.close())
        self._loop.close()


class SyncDriver:
    """Drives a blocking peer, with one thread per concurrent call."""

    def __init__(self, peer: SyncPeer) -> None:
        self._peer = peer

    def open(self, url: str) -> None:
        self._peer.open(url)

    def latency(self, calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            started = time.perf_counter()
            self._peer.run()
            taken.append(time.perf_counter() - started)
        return taken

    def throughput(self, seconds: float, concurrency: int) -> tuple[int, float]:
        started = time.perf_counter()

        def one() -> int:
            done = 0
            while time.perf_counter() - started < seconds:
                self._peer.run()
                done += 1
            return done

        return sum(_in_threads(one, concurrency)), time.perf_counter() - started

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self._peer.prepare(count, is_tiny)

    def batch(self) -> int:
        return self._peer.batch()

    def stream(self) -> int:
        peer: Any = self._peer
        return int(peer.stream())

    def events(self, run_id: str) -> int:
        return self._peer.events(run_id, _nothing)

    def streams(self, run_id: str, count: int) -> tuple[float, int]:
        started = time.perf_counter()
        begun: list[float] = []

        def one() -> int:
            return self._peer.events(run_id, lambda: begun.append(time.perf_counter()))

        events = sum(_in_threads(one, count))
        return max(begun) - started, events

    def close(self) -> None:
        self._peer.close()


def driver(peer: Any) -> Driver:
    """Return the driver for a peer."""
    return AsyncDriver(peer) if asyncio.iscoroutinefunction(peer.run) else SyncDriver(peer)


def _nothing() -> None:
    return None


def _in_threads(work: Callable[[], int], count: int) -> list[int]:
    """Run work in threads. If some fail (Python prints their errors), there are fewer results than threads."""
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(done) != count:
        raise RuntimeError("a thread failed")
    return done
