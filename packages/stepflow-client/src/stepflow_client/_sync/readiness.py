# Written from _async/readiness.py by `make generate`. Change that file instead.

"""Whether a server and its workers can be used, and waiting until they can."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from .._data.arguments import check_texts, wrong
from .._rules.deadline import deadline_of, deadline_scope
from .._rules.transient import TRANSIENT_ERRORS
from ..errors import RequestTimeoutError
from ..flows.components import components_of, known_components, schemas_of

if TYPE_CHECKING:
    from ..types.server import ComponentList

_PAUSE = 0.2
"""Seconds between two looks. From 0.12 on, a look takes 5 s for each worker that is not connected."""
_LOOK = 30.0
"""Maximum seconds of one look."""


def wait_ready(
    list_components: Callable[..., ComponentList],
    url: str,
    components: str | Iterable[str],
    timeout: float | None,
) -> ComponentList:
    """Wait until a server lists components, and all that are named.

    Args:
        list_components: Lists components, as the client's method does.
        url: The server, for errors.
        components: The paths of the components.
        timeout: Seconds for the whole call; None for no limit.
    """
    wanted = _paths(components)
    deadline = deadline_of(timeout)
    missing, failure = "", "it has not responded"
    while True:
        left = _LOOK if deadline is None else deadline - time.monotonic()
        if left <= 0:
            break
        try:
            with deadline_scope(deadline):
                listed = list_components(include_schemas=False, timeout=min(_LOOK, left))
        except TRANSIENT_ERRORS as error:
            if not error.is_retryable:
                raise
            failure = error.message
        else:
            missing = _missing(wanted, listed)
            if not missing:
                return listed
        pause = _PAUSE if deadline is None else min(_PAUSE, deadline - time.monotonic())
        time.sleep(max(0.0, pause))
    raise RequestTimeoutError(f"{url} was not ready within {timeout:g} s: {missing or failure}")


def _paths(components: str | Iterable[str]) -> list[str]:
    listed = check_texts(components, "components")
    if not all(each.startswith("/") for each in listed):
        raise wrong("components", "a path such as /python/summarize, or a list of paths", components)
    return listed


def _missing(wanted: list[str], listed: ComponentList) -> str:
    """Return what is missing, as the second half of a sentence; an empty text if nothing is."""
    known = known_components(components_of(listed))
    absent = [path for path in wanted if schemas_of(path, known) is None]
    if wanted and not absent:
        # A worker of other components may be away.
        return ""
    away = [f"plugin {each.plugin} is not available ({each.error})" for each in listed.failed_plugins]
    names = [f"there is no component {path}" for path in absent]
    return "; ".join(away + names)
