"""Validates the user's event hooks and calls them with each request and response."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._data.arguments import argument_error, check_choice, check_mapping, short_repr
from ..errors import InvalidArgumentError, RequestTimeoutError, StepflowClientError
from .http1_format import HttpRequest

if TYPE_CHECKING:
    import asyncio
else:
    # Load asyncio lazily, because the blocking client doesn't need it.
    asyncio = lazy_module("asyncio")

Hook = Callable[[Any], Any]
_HOOK_KINDS = ("request", "response")


def parse_event_hooks(hooks: object) -> dict[str, tuple[Hook, ...]]:
    """Validate `event_hooks` and return the request and response hooks.

    Raises:
        InvalidArgumentError: If `hooks` isn't a mapping with `request` and/or `response` keys whose values are lists of
            functions.
    """
    checked: dict[str, tuple[Hook, ...]] = dict.fromkeys(_HOOK_KINDS, ())
    for name, functions in check_mapping(hooks, "event_hooks").items():
        check_choice(name, "a key of event_hooks", _HOOK_KINDS)
        if not isinstance(functions, Sequence) or not all(map(callable, functions)):
            raise argument_error(f"event_hooks[{name!r}]", "a list of functions", functions)
        checked[name] = tuple(functions)
    return checked


async def async_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call each hook in turn with a request or response. Hooks can be coroutine functions.

    Raises:
        RequestTimeoutError: If a hook doesn't return in time.
        StepflowClientError: If a hook fails.
    """
    for hook in hooks:
        limit = asyncio.timeout(request.get_seconds_allowed(request.timeout.read))
        try:
            async with limit:
                if inspect.isawaitable(called := hook(value)):
                    await called
        except Exception as error:
            # The hook itself might also raise a TimeoutError.
            if isinstance(error, TimeoutError) and limit.expired():
                message = f"{request}: the {kind} hook {short_repr(hook)} did not return in time"
                raise RequestTimeoutError(message) from error
            raise _convert_hook_error(kind, hook, error) from error


def sync_call_hooks(kind: str, hooks: Sequence[Hook], value: object, request: HttpRequest) -> None:
    """Call each hook in turn with a request or response.

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
    """Return the error to raise for a failed hook. This package's errors and failed assertions are left unchanged."""
    if isinstance(error, (StepflowClientError, AssertionError)):
        return error
    return StepflowClientError(f"the {kind} hook {short_repr(hook)} failed: {type(error).__name__}: {error}")
