"""The operations of the HTTP API: the generated code builds their requests; this table adds what it does not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any, NamedTuple


class Request(NamedTuple):
    """The request of an operation, without what depends on the client that sends it."""

    operation: Operation
    parts: dict[str, Any]
    """What the generated `build_request` returns."""
    run_id: str | None = None
    """The run concerned, for errors and for the server it belongs to."""
    held: float = 0.0
    """Seconds the server was asked to hold the request; they are added to the timeout."""
    is_retried: bool = True
    """Whether transports may send it again."""


@dataclass(eq=False, repr=False)
class Operation:
    """An operation of the API, in the format of the current server. Calling it builds a request."""

    module: str
    """The generated module below `stepflow_api.api`, imported when it is first used."""
    is_idempotent: bool = True
    """Whether sending the request twice has the same effect as sending it once. Storing is content-addressed;
    cancelling and deleting end in the same state."""
    capability: str | None = None
    """The capability that the server must have, one of `ServerInfo.capabilities`; None if every server has the
    operation."""
    needs: str = ""
    """What needs this capability, as the beginning of an error message."""
    not_found: str = ""
    """The meaning of a 404 response without a body; empty if there is none."""
    keeps_numbers: bool = False
    """Whether numbers in the response are left as sent, because its reader restores those that it reads."""

    def __call__(self, *arguments: Any, **named: Any) -> Request:
        """Return a request. Arguments by name that are None are left out.

        Args:
            *arguments: The parameters of the path.
            **named: The other parameters of the generated function; a JSON body is a dict.
        """
        given = {name: value for name, value in named.items() if value is not None}
        run_id = arguments[0] if arguments and self.module.startswith("run.") else None
        return Request(self, self._generated.build_request(*arguments, **given), run_id)

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def name(self) -> str:
        """The name of the operation: that of the generated module."""
        return self.module.rpartition(".")[2]

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self._generated.METHOD)

    @property
    def path(self) -> str:
        """The path below `/api/v1`, with `{placeholders}`."""
        return str(self._generated.PATH)

    @cached_property
    def _generated(self) -> Any:
        return import_module(f"stepflow_api.api.{self.module}")


_RUN, _FLOW, _BLOB = "the server has no such run", "the server has no such flow", "the server has no such blob"

_NO_SERVER = "this is not a Stepflow server, or its API has another path"

health_check = Operation("health.health_check", not_found=_NO_SERVER)
list_components = Operation("component.list_components", not_found=_NO_SERVER)
store_flow = Operation("flow.store_flow", not_found=_NO_SERVER)
get_flow = Operation("flow.get_flow", not_found=_FLOW)
delete_flow = Operation("flow.delete_flow", not_found=_FLOW)
get_flow_variables = Operation("flow.get_flow_variables", not_found=_FLOW)
# Sent twice, it creates two runs. A server without a store loses the flow when it restarts.
create_run = Operation("run.create_run", is_idempotent=False, not_found=_FLOW, keeps_numbers=True)
list_runs = Operation("run.list_runs", not_found=_NO_SERVER)
get_run = Operation("run.get_run", not_found=_RUN)
delete_run = Operation("run.delete_run", not_found=_RUN)
cancel_run = Operation("run.cancel_run", not_found=_RUN)
# Only on older servers: current ones return no items and no steps for an unknown run.
get_run_items = Operation("run.get_run_items", not_found=_RUN, keeps_numbers=True)
get_run_steps = Operation("run.get_run_steps", not_found=_RUN, keeps_numbers=True)
get_run_step = Operation("run.get_run_step", not_found="there is no such step yet")
get_run_flow = Operation("run.get_run_flow", not_found=_RUN)
get_run_events = Operation("run.get_run_events", capability="events", needs="a stream of events", not_found=_RUN)
store_blob = Operation("blob.store_blob")
get_blob = Operation("blob.get_blob", not_found=_BLOB)

OPERATIONS = {each.name: each for each in tuple(globals().values()) if isinstance(each, Operation)}
"""All operations by name."""


def find_operation(method: str, path: str) -> Operation | None:
    """Return the operation of a request; None if the API has no such operation.

    Args:
        method: The HTTP method.
        path: The path below `/api/v1`, without the query.
    """
    return next((each for each, pattern in _patterns() if each.method == method and pattern.fullmatch(path)), None)


@cache
def _patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    return [(each, re.compile(re.sub(r"\{\w+\}", "[^/]+", each.path))) for each in OPERATIONS.values()]
