"""Checks of inputs, asynchronous and blocking. Both versions are written by hand, like those of the sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, NoReturn, TypeVar

from .._base.lazy import lazy_module
from .._base.long_computations import Slices, collector_paused, run_in_slices, slices
from .._rules.timeouts import current_deadline, has_passed
from ..errors import RequestTimeoutError

if TYPE_CHECKING:
    import asyncio
else:
    # Programs that only use the blocking version do not pay for the import.
    asyncio = lazy_module("asyncio")

Checked = TypeVar("Checked")


class _LongCheck(BaseException):
    """A check takes longer than a slice, or its caller has stopped waiting."""

    # No Exception, because checks report those that the code of a value raises.


async def async_run_check(check: Callable[[], Checked], *, is_long: bool = False) -> Checked:
    """Return the result of a check. A long one is made in a thread, so that it does not block the event loop.

    Args:
        check: Makes the check; it is called again in the thread if it turns out to be long.
        is_long: Whether the check is known to be long.

    Raises:
        RequestTimeoutError: If the deadline of the call passes.
    """
    if not is_long:
        # As `run_in_slices`, without a call: every run comes here.
        before = slices.set(Slices(_raise_long_check))
        try:
            return check()
        except _LongCheck:
            pass
        finally:
            slices.reset(before)
    stopped, deadline = Event(), current_deadline()
    try:
        left = None if deadline is None else deadline - time.monotonic()
        # The collector would stop all threads to look at a large input again and again.
        paused = collector_paused()(run_in_slices)
        return await asyncio.wait_for(
            asyncio.to_thread(paused, check, lambda: stopped.is_set() and _raise_long_check()), left
        )
    except TimeoutError:
        raise _make_timeout_error() from None
    finally:
        stopped.set()


def sync_run_check(check: Callable[[], Checked], *, is_long: bool = False) -> Checked:
    """Return the result of a check.

    Args:
        check: Makes the check.
        is_long: Means nothing here.

    Raises:
        RequestTimeoutError: If the deadline of the call passes.
    """
    deadline = current_deadline()

    def stop() -> None:
        if has_passed(deadline):
            raise _make_timeout_error()

    return check() if deadline is None else run_in_slices(check, stop)


def _raise_long_check() -> NoReturn:
    raise _LongCheck


def _make_timeout_error() -> RequestTimeoutError:
    return RequestTimeoutError(
        "the time was over before a check of the flow or its input ended", hint="check_input=False skips that of inputs"
    )
