"""The operations of the HTTP API: one table of what a client must know of each before it sends it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

__all__ = ["OPERATIONS", "Operation", "operation_of"]


class Operation(NamedTuple):
    """An operation of the API, in the shape of the current server.

    Attributes:
        name: Its name in the API description.
        method: The HTTP method.
        path: Its path below `/api/v1`, with `{placeholders}`.
        is_idempotent: Whether sending it twice does no more than sending it once. Storing is content-addressed;
            cancelling and deleting end in the same state.
        capability: What the server must be able to do, None for any; `ServerInfo.capabilities` has the names.
        needs: What needs it, as the beginning of a sentence.
        not_found: What a 404 without a body means; empty where the path exists on every server.
    """

    name: str
    method: str
    path: str
    is_idempotent: bool = True
    capability: str | None = None
    needs: str = ""
    not_found: str = ""


_RUN, _FLOW, _BLOB = "the server has no such run", "the server has no such flow", "the server has no such blob"

_NO_SERVER = "this is not a Stepflow server, or its API has another path"

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("health_check", "GET", "/health", not_found=_NO_SERVER),
        Operation("list_components", "GET", "/components", not_found=_NO_SERVER),
        Operation("store_flow", "POST", "/flows", not_found=_NO_SERVER),
        Operation("get_flow", "GET", "/flows/{flow_id}", not_found=_FLOW),
        Operation("delete_flow", "DELETE", "/flows/{flow_id}", not_found=_FLOW),
        Operation("get_flow_variables", "GET", "/flows/{flow_id}/variables", not_found=_FLOW),
        # Sent twice it creates two runs; and a server that was started again without a store has lost the flow.
        Operation("create_run", "POST", "/runs", is_idempotent=False, not_found=_FLOW),
        Operation("list_runs", "GET", "/runs", not_found=_NO_SERVER),
        Operation("get_run", "GET", "/runs/{run_id}", not_found=_RUN),
        Operation("delete_run", "DELETE", "/runs/{run_id}", not_found=_RUN),
        Operation("cancel_run", "POST", "/runs/{run_id}/cancel", not_found=_RUN),
        # Before 0.12; later an unknown run has no items and no steps.
        Operation("get_run_items", "GET", "/runs/{run_id}/items", not_found=_RUN),
        Operation("get_run_steps", "GET", "/runs/{run_id}/steps", not_found=_RUN),
        Operation("get_run_step", "GET", "/runs/{run_id}/steps/{step_id}", not_found="there is no such step yet"),
        Operation("get_run_flow", "GET", "/runs/{run_id}/flow", not_found=_RUN),
        Operation("get_run_events", "GET", "/runs/{run_id}/events", True, "events", "a stream of events", _RUN),
        Operation("store_blob", "POST", "/blobs", True, "blobs", "blobs"),
        Operation("get_blob", "GET", "/blobs/{blob_id}", True, "blobs", "blobs", _BLOB),
    )
}


def operation_of(method: str, path: str) -> Operation | None:
    """Return the operation of a request, None for one that the API does not have.

    Args:
        method: The HTTP method.
        path: The path below `/api/v1`, without the query.
    """
    return next((each for each, pattern in _patterns() if each.method == method and pattern.fullmatch(path)), None)


@cache
def _patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    return [(each, re.compile(re.sub(r"\{\w+\}", "[^/]+", each.path))) for each in OPERATIONS.values()]
