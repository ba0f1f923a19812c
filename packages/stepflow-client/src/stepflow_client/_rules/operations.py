"""The operations of the HTTP API: a table of what the client must know about an operation before sending it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

__all__ = ["OPERATIONS", "Operation", "operation_of"]


class Operation(NamedTuple):
    """An operation of the API, in the format of the current server.

    Attributes:
        name: Its name in the API description.
        method: The HTTP method.
        path: Its path below `/api/v1`, with `{placeholders}`.
        is_idempotent: Whether sending the request twice has the same effect as sending it once. Storing is
            content-addressed; cancelling and deleting end in the same state.
        capability: The capability that the server must have, one of `ServerInfo.capabilities`; None if every server
            has the operation.
        needs: What needs this capability, as the beginning of an error message.
        not_found: The meaning of a 404 response without a body; empty if there is none.
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
        # Sent twice, it creates two runs. A server without a store loses the flow when it restarts.
        Operation("create_run", "POST", "/runs", is_idempotent=False, not_found=_FLOW),
        Operation("list_runs", "GET", "/runs", not_found=_NO_SERVER),
        Operation("get_run", "GET", "/runs/{run_id}", not_found=_RUN),
        Operation("delete_run", "DELETE", "/runs/{run_id}", not_found=_RUN),
        Operation("cancel_run", "POST", "/runs/{run_id}/cancel", not_found=_RUN),
        # Only before 0.12: newer servers return no items and no steps for an unknown run.
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
    """Return the operation of a request; None if the API has no such operation.

    Args:
        method: The HTTP method.
        path: The path below `/api/v1`, without the query.
    """
    return next((each for each, pattern in _patterns() if each.method == method and pattern.fullmatch(path)), None)


@cache
def _patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    return [(each, re.compile(re.sub(r"\{\w+\}", "[^/]+", each.path))) for each in OPERATIONS.values()]
