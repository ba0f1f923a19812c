"""Async and blocking versions of concurrent calls, background calls, time limits, lazy inputs and long computations.

Both versions are handwritten, like the socket code.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from .._base.gc_pauses_and_slices import Slices, pause_garbage_collector, run_in_slices, slices
from .._base.lazy import lazy_module
from .._rules.deadlines import current_deadline, get_seconds_left, has_passed
from ..errors import InvalidArgumentError, RequestTimeoutError

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future
else:
    # Load asyncio lazily, because the blocking versions don't need it.
    asyncio = lazy_module("asyncio")

Result = TypeVar("Result")

# Number of event loop iterations between a response arriving and its call sending the next request.
_LOOP_TURNS = 3


class AsyncTaskSet(Generic[Result]):
    """Runs calls in the background as tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def start(self, call: Callable[[], Awaitable[Result]]) -> None:
        """Start a call, then give every running call a chance to send its next request."""
        self._tasks.add(asyncio.ensure_future(call()))
        for _ in range(_LOOP_TURNS):
            await asyncio.sleep(0)

    async def wait_for_result(self, deadline: float | None = None) -> Result:
        """Wait for one of the calls to finish and return its result, or raise its error.

        Raises:
            TimeoutError: If no call finishes by the deadline (as measured by `time.monotonic()`).
        """
        done: set[asyncio.Task[Result]] = set()
        # uvloop counts in milliseconds, so it can wake up slightly before the deadline.
        while not done:
            left = get_seconds_left(deadline)
            done, _ = await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done and left == 0:
                raise TimeoutError
        task = done.pop()
        self._tasks.discard(task)
        return task.result()

    async def aclose(self, grace: float = 0.0) -> None:
        """Cancel the calls that are still running, and wait for them to finish.

        Args:
            grace: Ignored. Only here to match `SyncTaskSet.close`, which gives threads this many seconds to finish.
        """
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            with async_shield():
                await asyncio.gather(*tasks, return_exceptions=True)


class SyncTaskSet(Generic[Result]):
    """Runs calls in the background on threads. The threads are daemons, so they don't keep the process from exiting."""

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        self._running = 0

    def __len__(self) -> int:
        return self._running

    def start(self, call: Callable[[], Result]) -> None:
        """Start a call."""
        context = copy_context()

        def run() -> None:
            try:
                self._ended.put((context.run(call), None))
            except BaseException as error:
                self._ended.put((None, error))

        self._running += 1
        threading.Thread(target=run, name="stepflow-client-call", daemon=True).start()

    def wait_for_result(self, deadline: float | None = None) -> Result:
        """Wait for one of the calls to finish and return its result, or raise its error.

        Raises:
            TimeoutError: If no call finishes by the deadline (as measured by `time.monotonic()`).
        """
        left = get_seconds_left(deadline)
        try:
            # `get` doesn't accept longer timeouts.
            result, error = self._ended.get(timeout=None if left is None else min(left, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise TimeoutError from None
        self._running -= 1
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def close(self, grace: float = 0.0) -> None:
        """Wait for any calls still in progress, since threads can't be cancelled.

        Args:
            grace: Maximum time to wait, in seconds. Defaults to 0, which leaves the calls running.
        """
        until = time.monotonic() + grace
        while self._running and time.monotonic() < until:
            with suppress(queue.Empty):
                self._ended.get(timeout=get_seconds_left(until))
                self._running -= 1


async def async_call_with_timeout(
    call: Callable[[], Awaitable[Result]], seconds: float, *, may_abandon: bool = False
) -> Result:
    """Return a call's result, or cancel the call if it takes too long.

    Args:
        call: The call to make.
        seconds: Maximum duration of the call, in seconds.
        may_abandon: Only used by `sync_call_with_timeout`.

    Raises:
        TimeoutError: If the call takes longer.
    """
    async with asyncio.timeout(seconds):
        return await call()


def sync_call_with_timeout(call: Callable[[], Result], seconds: float, *, may_abandon: bool = False) -> Result:
    """Return a call's result. The time limit only applies if `may_abandon` is True.

    Args:
        call: The call to make.
        seconds: Maximum duration of the call, in seconds.
        may_abandon: Whether to make the call in a thread and leave it running after the timeout.

    Raises:
        TimeoutError: If the call takes longer and `may_abandon` is True.
    """
    if not may_abandon:
        return call()
    threads: SyncTaskSet[Result] = SyncTaskSet()
    threads.start(call)
    return threads.wait_for_result(time.monotonic() + seconds)


def async_shield() -> AbstractContextManager[object]:
    """Return a context manager for cleanup that a cancelled call waits for.

    asyncio cancels a task only once, but an anyio cancel scope (FastAPI and MCP servers use these) keeps cancelling
    whatever the task waits for until the task leaves the scope.
    """
    scope = getattr(sys.modules.get("anyio"), "CancelScope", None)
    return nullcontext() if scope is None else scope(shield=True)


sync_shield = nullcontext
"""The blocking counterpart of `async_shield`. Threads are only interrupted once."""

_END = object()


class AsyncInputReader:
    """Reads inputs one by one, as they are needed.

    Raises:
        InvalidArgumentError: If the inputs are not iterable.
    """

    def __init__(self, inputs: Any) -> None:
        """Store the inputs without reading any."""
        self._async: AsyncIterator[Any] | None = aiter(inputs) if isinstance(inputs, AsyncIterable) else None
        self._sync = SyncInputReader(inputs if self._async is None else ())
        self.ended = False

    async def take_inputs(self, max_count: int) -> tuple[list[Any], Exception | None]:
        """Return up to `max_count` more inputs, along with the exception (if any) that was raised after them.

        If there are fewer than `max_count`, no more inputs will follow.
        """
        values, failure = self._sync.take_inputs(max_count)
        if self._async is not None:
            try:
                while len(values) < max_count and (value := await anext(self._async, _END)) is not _END:
                    values.append(value)
            except Exception as error:
                failure = error
        self.ended = len(values) < max_count
        return values, failure


class SyncInputReader:
    """Reads inputs one by one, as they are needed.

    Raises:
        InvalidArgumentError: If the inputs are not iterable.
    """

    def __init__(self, inputs: Any) -> None:
        """Store the inputs without reading any."""
        if not isinstance(inputs, Iterable) or isinstance(inputs, (str, bytes, dict)):
            raise InvalidArgumentError(f"inputs must be an iterable of inputs, not {type(inputs).__name__}")
        self._inputs = iter(inputs)
        self.ended = False

    def take_inputs(self, max_count: int) -> tuple[list[Any], Exception | None]:
        """Return up to `max_count` more inputs, along with the exception (if any) that was raised after them.

        If there are fewer than `max_count`, no more inputs will follow.
        """
        values: list[Any] = []
        failure = None
        try:
            # Append one by one, so that the inputs read before a failure aren't lost.
            for value in islice(self._inputs, max_count):
                values.append(value)
        except Exception as error:
            failure = error
        self.ended = len(values) < max_count
        return values, failure


async def async_gather(calls: Sequence[Callable[[], Awaitable[Result]]], max_concurrency: int) -> list[Result]:
    """Make calls concurrently, at most `max_concurrency` at a time, and return their results in call order."""
    free = asyncio.Semaphore(max_concurrency)

    async def limited(call: Callable[[], Awaitable[Result]]) -> Result:
        async with free:
            return await call()

    tasks = [asyncio.create_task(limited(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        # After an error, don't leave the other calls running.
        for task in tasks:
            task.cancel()


def sync_gather(calls: Sequence[Callable[[], Result]], max_concurrency: int) -> list[Result]:
    """Make calls concurrently, at most `max_concurrency` at a time, and return their results in call order."""
    threads: SyncTaskSet[tuple[int, Result]] = SyncTaskSet()
    results: dict[int, Result] = {}
    try:
        # Each call runs in a copy of this context, which carries the caller's deadline.
        for index, call in enumerate(calls):
            threads.start(lambda index=index, call=call: (index, call()))  # type: ignore[misc]
            while len(threads) >= (max_concurrency if index + 1 < len(calls) else 1):
                results.update([threads.wait_for_result()])
    except Exception:
        # Don't wait after a KeyboardInterrupt, because the calls might take hours.
        threads.close(threading.TIMEOUT_MAX)
        raise
    return [results[index] for index in range(len(calls))]


async def async_wait_until_future_done(future: Future[Any], deadline: float | None) -> None:
    """Wait until another call settles a future, or until a deadline (as measured by `time.monotonic()`)."""
    await asyncio.wait([asyncio.wrap_future(future)], timeout=get_seconds_left(deadline))


def sync_wait_until_future_done(future: Future[Any], deadline: float | None) -> None:
    """Wait until another call settles a future, or until a deadline (as measured by `time.monotonic()`)."""
    from concurrent.futures import wait

    wait([future], timeout=get_seconds_left(deadline))


class _ComputationTooLong(BaseException):
    """Raised inside a computation that takes longer than its slice, or whose caller stops waiting."""

    # Not an Exception, because checks catch any Exception raised by a value's own code.


async def async_compute(compute: Callable[[], Result], *, is_long: bool = False) -> Result:
    """Return a computation's result. A long computation is moved to a thread, so that it doesn't block the event loop.

    Args:
        compute: The computation, such as a check. If it turns out to be long, it's started again from scratch in a
            thread.
        is_long: Whether the computation is already known to be long.

    Raises:
        RequestTimeoutError: If the call's deadline passes.
    """
    if not is_long:
        # `run_in_slices` is inlined here to avoid a call on the hot path.
        before = slices.set(Slices(_raise_computation_too_long))
        try:
            return compute()
        except _ComputationTooLong:
            pass
        finally:
            slices.reset(before)
    stopped, deadline = threading.Event(), current_deadline()
    try:
        # Pause the garbage collector, which would otherwise keep stopping all threads to traverse a large input.
        paused = pause_garbage_collector()(run_in_slices)
        computing = asyncio.to_thread(paused, compute, lambda: stopped.is_set() and _raise_computation_too_long())
        return await asyncio.wait_for(computing, get_seconds_left(deadline))
    except TimeoutError:
        raise _make_compute_timeout_error() from None
    finally:
        stopped.set()


def sync_compute(compute: Callable[[], Result], *, is_long: bool = False) -> Result:
    """Return a computation's result.

    Args:
        compute: The computation.
        is_long: Ignored. Only here to match `async_compute`.

    Raises:
        RequestTimeoutError: If the call's deadline passes.
    """
    deadline = current_deadline()

    def stop() -> None:
        if has_passed(deadline):
            raise _make_compute_timeout_error()

    return compute() if deadline is None else run_in_slices(compute, stop)


def _raise_computation_too_long() -> NoReturn:
    raise _ComputationTooLong


def _make_compute_timeout_error() -> RequestTimeoutError:
    hint = "to skip checking inputs, use check_input=False"
    return RequestTimeoutError("timed out while checking the flow or its input", hint=hint)
