"""Checks and calls the functions of `event_hooks`.

Both variants of the call are written by hand, because coroutine functions only work with the async client.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .._data.arguments import check_choice, check_mapping, shown, wrong
from .._http.messages import HttpRequest
from ..errors import InvalidArgumentError, RequestTimeoutError, StepflowClientError
from .time_limit import async_call_within

Hook = Callable[[Any], Any]
_KINDS = ("request", "response")


def check_hooks(hooks: object) -> dict[str, tuple[Hook, ...]]:
    """Return the functions of `event_hooks` for requests and for responses.

    Raises:
        InvalidArgumentError: If the hooks are not a mapping of these to lists of functions.
    """
    checked: dict[str, tuple[Hook, ...]] = dict.fromkeys(_KINDS, ())
    for name, functions in check_mapping(hooks, "event_hooks").items():
        check_choice(name, "a key of event_hooks", _KINDS)
        if not isinstance(functions, Sequence) or not all(map(callable, functions)):
            raise wrong(f"event_hooks[{name!r}]", "a list of functions", functions)
        checked[name] = tuple(functions)
    return checked


async def async_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call hooks with a request or a response, one after the other; they may be coroutine functions.

    Raises:
        RequestTimeoutError: If they take longer than the call.
        StepflowClientError: If one of them fails.
    """
    for hook in hooks:
        try:
            await async_call_within(partial(_call, kind, hook, value), request.remaining(request.timeout.read))
        except StepflowClientError:
            raise
        except TimeoutError as error:
            raise RequestTimeoutError(f"{request}: the {kind} hook {shown(hook)} did not return in time") from error


async def _call(kind: str, hook: Hook, value: object) -> None:
    try:
        if inspect.isawaitable(called := hook(value)):
            await called
    except Exception as error:
        raise _convert_hook_error(kind, hook, error) from error


def sync_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call hooks with a request or a response, one after the other.

    Raises:
        StepflowClientError: If one of them fails, or is a coroutine function.
    """
    for hook in hooks:
        try:
            called = hook(value)
        except Exception as error:
            raise _convert_hook_error(kind, hook, error) from error
        if inspect.iscoroutine(called):
            called.close()
            raise InvalidArgumentError(
                f"the {kind} hook {shown(hook)} is a coroutine function",
                hint="give SyncStepflowClient plain functions",
            )


def _convert_hook_error(kind: str, hook: Hook, error: Exception) -> Exception:
    """Return the error for a hook that failed; errors of this package and failed assertions stay unchanged."""
    if isinstance(error, (StepflowClientError, AssertionError)):
        return error
    return StepflowClientError(f"the {kind} hook {shown(hook)} failed: {type(error).__name__}: {error}")
