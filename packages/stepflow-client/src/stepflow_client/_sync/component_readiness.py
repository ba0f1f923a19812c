# Written from _async/component_readiness.py by `make generate`. Change that file instead.

"""Waits until a server and its workers are ready to use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, Any

from .._data.arguments import argument_error
from .._rules.deadlines import call_scope, compute_deadline, current_deadline, deadline_scope
from .._rules.retries import TRANSIENT_ERRORS, Backoff
from ..errors import RequestTimeoutError, ServerConnectionError, TransportError
from ..flows.components import add_builtin_components, convert_to_components
from ..flows.graph import FlowSteps
from .connection import Connection
from .flow_store import FlowStore

if TYPE_CHECKING:
    from ..flows.reading import FlowSource
    from ..types.server import ComponentList


def wait_for_flow_components(
    connection: Connection, flows: FlowStore, flow: FlowSource, overrides: Any, seconds: float
) -> None:
    """Wait until the components needed to run a flow are available. Builtin components always are.

    Args:
        connection: The connection.
        flows: The flow store of the client.
        flow: The flow, or a stored flow's ID.
        overrides: Changes to the flow's steps.
        seconds: Overall timeout in seconds.
    """
    needed: Set[str] = frozenset()
    if overrides is not None:
        from ..flows.interpreter import apply_overrides_if_valid

        content = flows.load_or_fetch_flow(flow)
        needed = FlowSteps(apply_overrides_if_valid(content, overrides)).find_components()
    else:
        checked = flows.check_flow_or_id(flow)
        if isinstance(checked, str):
            # This requests the flow if the client doesn't have it yet.
            flows.get_or_fetch_variables(checked)
            needs = flows.get_stored_copy(checked).needs
        else:
            needs = flows.compute_run_requirements(checked)
        if needs is not None:
            needed = needs.components
    unseen = needed - flows.seen_components
    missing = {path for path in unseen if path.startswith("/") and not path.startswith("/builtin/")}
    if missing:
        wait_until_components_listed(connection, sorted(missing), seconds)
        flows.seen_components.update(missing)


def wait_until_components_listed(
    connection: Connection, components: str | Iterable[str], timeout: float | None
) -> ComponentList:
    """Wait until a server lists its components, and the list includes all of the given ones.

    Args:
        connection: The connection.
        components: Paths of the components to wait for.
        timeout: Overall timeout in seconds, or None for no limit.
    """
    listed_paths = [components] if isinstance(components, str) else components
    paths: list[str] = list(listed_paths) if isinstance(listed_paths, Iterable) else [""]
    if not all(isinstance(path, str) and path.startswith("/") for path in paths):
        raise argument_error("components", "a path such as /python/summarize, or a list of paths", components)
    deadline, outer = compute_deadline(timeout), current_deadline()
    if outer is not None and (deadline is None or outer < deadline):
        # The surrounding call's deadline is earlier than ours, so use that one.
        deadline, timeout = outer, round(outer - time.monotonic(), 3)
    missing, failure = "", "it has not responded"
    kind: type[TransportError] = RequestTimeoutError
    pauses = Backoff(connection.timings.ready_poll, deadline=deadline)
    while not pauses.is_past_deadline:
        try:
            with deadline_scope(deadline), call_scope(connection.timings.ready_request):
                listed = connection.list_components(include_schemas=False)
        except TRANSIENT_ERRORS as error:
            if not error.is_retryable:
                raise
            is_unreachable = isinstance(error, ServerConnectionError)
            kind, failure = (ServerConnectionError if is_unreachable else RequestTimeoutError), error.message
        else:
            kind = RequestTimeoutError
            known = add_builtin_components(convert_to_components(listed))
            absent = [path for path in paths if known.find_schemas(path) is None]
            # If every component that we need is available, it doesn't matter whether other plugins have workers.
            away = [] if paths and not absent else listed.failed_plugins
            if not absent and not away:
                return listed
            plugins = [f"plugin {plugin.plugin} is not available ({plugin.error})" for plugin in away]
            missing = "; ".join([*plugins, *(f"unknown component {path}" for path in absent)])
        time.sleep(pauses.next_delay())
    unseen = f" (waiting for {', '.join(paths)})" if paths else ""
    raise kind(f"{connection.url} was not ready within {timeout:g} s: {missing or failure + unseen}")
