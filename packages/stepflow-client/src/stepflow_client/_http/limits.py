"""How many requests run at once, and the user's hooks."""

from __future__ import annotations

import inspect
import math
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._data.arguments import argument_error, check_choice, check_mapping, short_repr
from ..errors import InvalidArgumentError, RequestTimeoutError, StepflowClientError
from .messages import HttpRequest, PoolTimeout

if TYPE_CHECKING:
    import asyncio
else:
    # Not needed by the blocking client.
    asyncio = lazy_module("asyncio")

Hook = Callable[[Any], Any]
_KINDS = ("request", "response")


def check_event_hooks(hooks: object) -> dict[str, tuple[Hook, ...]]:
    """Validate `event_hooks` and return the request and response hooks.

    Raises:
        InvalidArgumentError: If `hooks` isn't a mapping from `request` and `response` to lists of functions.
    """
    checked: dict[str, tuple[Hook, ...]] = dict.fromkeys(_KINDS, ())
    for name, functions in check_mapping(hooks, "event_hooks").items():
        check_choice(name, "a key of event_hooks", _KINDS)
        if not isinstance(functions, Sequence) or not all(map(callable, functions)):
            raise argument_error(f"event_hooks[{name!r}]", "a list of functions", functions)
        checked[name] = tuple(functions)
    return checked


async def async_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call hooks one by one with a request or response. Hooks may be coroutine functions.

    Raises:
        RequestTimeoutError: If a hook doesn't return in time.
        StepflowClientError: If a hook fails.
    """
    for hook in hooks:
        limit = asyncio.timeout(request.limit_to_deadline(request.timeout.read))
        try:
            async with limit:
                if inspect.isawaitable(called := hook(value)):
                    await called
        except Exception as error:
            # The hook itself may also raise a TimeoutError.
            if isinstance(error, TimeoutError) and limit.expired():
                message = f"{request}: the {kind} hook {short_repr(hook)} did not return in time"
                raise RequestTimeoutError(message) from error
            raise _convert_hook_error(kind, hook, error) from error


def sync_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call hooks one by one with a request or response.

    Raises:
        StepflowClientError: If a hook fails or is a coroutine function.
    """
    for hook in hooks:
        try:
            called = hook(value)
        except Exception as error:
            raise _convert_hook_error(kind, hook, error) from error
        if inspect.iscoroutine(called):
            called.close()
            raise InvalidArgumentError(
                f"the {kind} hook {short_repr(hook)} is a coroutine function",
                hint="pass plain functions to SyncStepflowClient",
            )


def _convert_hook_error(kind: str, hook: Hook, error: Exception) -> Exception:
    """Return the error for a failed hook. This package's own errors and failed assertions are left unchanged."""
    if isinstance(error, (StepflowClientError, AssertionError)):
        return error
    return StepflowClientError(f"the {kind} hook {short_repr(hook)} failed: {type(error).__name__}: {error}")


class _LoopSlots:
    """One event loop's free slots, and the calls waiting for one."""

    def __init__(self, free: float, loop: asyncio.AbstractEventLoop) -> None:
        self.free = free
        self.loop = loop
        self.waiting: deque[asyncio.Future[None]] = deque()


class AsyncRequestSlots:
    """Limits how many requests run concurrently in an event loop.

    Args:
        limit: Maximum number of requests, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._slots: _LoopSlots | None = None

    def try_take(self) -> _LoopSlots | None:
        """Take a slot if one is free. Pass it to `release` when done."""
        slots, loop = self._slots, asyncio.get_running_loop()
        if slots is None or slots.loop is not loop:
            # Start over in a new event loop, since the futures of waiting calls belong to the old one.
            slots = self._slots = _LoopSlots(self._limit, loop)
        if not slots.free:
            return None
        slots.free -= 1
        return slots

    async def wait_and_take(self, timeout: float) -> _LoopSlots:
        """Wait up to `timeout` seconds for a slot and take it, if `try_take` returned None. Calls are served in order.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        slots = self._slots
        assert slots is not None
        waiter: asyncio.Future[None] = slots.loop.create_future()
        slots.waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                # Return the slot that the call got just as it was cancelled or timed out.
                self.release(slots)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(f"no connection was free within {timeout:g} s") from None
            raise
        return slots

    @staticmethod
    def release(slots: _LoopSlots | None) -> None:
        """Release a slot, handing it to the call that has waited longest."""
        if slots is None:
            return
        while slots.waiting:
            waiter = slots.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        slots.free += 1


class SyncRequestSlots:
    """Limits how many requests run concurrently in threads.

    Slots that are no longer referenced are replaced, so a KeyboardInterrupt never loses one, no matter where it hits.

    Args:
        limit: Maximum number of requests, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        # Not a semaphore, because those are written in Python and a KeyboardInterrupt can leave them locked.
        self._free: queue.SimpleQueue[_SelfReplacingSlot] | None = None if limit is None else queue.SimpleQueue()
        for _ in range(limit or 0):
            self.add_slot()

    def add_slot(self) -> None:
        """Add a slot."""
        if self._free is not None:
            self._free.put(_SelfReplacingSlot(weakref.ref(self)))

    def try_take(self) -> _SelfReplacingSlot | None:
        """Take a slot if one is free. Pass it to `release` when done."""
        try:
            return _UNLIMITED if self._free is None else self._free.get_nowait()
        except queue.Empty:
            return None

    def wait_and_take(self, timeout: float) -> _SelfReplacingSlot:
        """Wait up to `timeout` seconds for a slot and take it, if `try_take` returned None.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        assert self._free is not None
        try:
            return self._free.get(timeout=min(timeout, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None

    def release(self, slot: _SelfReplacingSlot | None) -> None:
        """Release a slot."""
        if self._free is not None and slot is not None:
            self._free.put(slot)


class _SelfReplacingSlot:
    """A slot that is replaced with a new one when garbage-collected."""

    def __init__(self, slots: Callable[[], SyncRequestSlots | None]) -> None:
        self._slots = slots

    def __del__(self) -> None:
        slots = self._slots()
        if slots is not None:
            slots.add_slot()


_UNLIMITED = _SelfReplacingSlot(lambda: None)
