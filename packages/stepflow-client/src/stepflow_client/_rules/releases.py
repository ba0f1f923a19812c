"""The releases of servers, their capabilities, and the operations of the HTTP API. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import wrong
from ..errors import InvalidResponseError, UnsupportedByServerError
from .transport_errors import ANOTHER_SERVICE

if TYPE_CHECKING:
    from ..types import ServerInfo

# Releases by commit: servers since 0.12 report their commit, not their release.
_COMMITS = {"37c721f": "0.12.0", "dd82fa7": "0.13.0"}

_OLDEST, _CURRENT, NEWEST = (0, 10), (0, 12), (0, 13)
TARGETS = "0.10 to 0.13"
"""The releases that flows can be checked for, in words."""

# Capabilities by the release that introduced them; `server_info()` shows them.
_SINCE: dict[str, tuple[int, int]] = {
    "empty_batch": (0, 11),
    "flow_variables": (0, 11),
    "events": (0, 12),
    "live_steps": (0, 12),  # steps are listed while their run is still running
    "step_outputs": (0, 12),
}
_UNTIL: dict[str, tuple[int, int]] = {
    "exact_numbers": (0, 11),  # integers beyond 2**53 stay exact, and 1.0 differs from 1
    "cancel_refuses_finished": (0, 11),
}


class Server(NamedTuple):
    """A server, with the fields of `ServerInfo`."""

    url: str
    dialect: str
    release: str | None
    commit: str | None
    capabilities: dict[str, bool]
    needs_translation: bool
    """Whether it uses another wire format than the current one."""


def identify_server(url: str, health: Mapping[str, Any]) -> Server:
    """Identify a server from its response to GET /health.

    Servers up to 0.11 report their release; newer ones are recognised by the format of the response.

    Raises:
        InvalidResponseError: If this is not the response of a Stepflow server.
        UnsupportedByServerError: If the release is older than the oldest supported one.
    """
    version, build = health.get("version"), health.get("build")
    if isinstance(version, str):
        version = _replace_surrogates(version)
        number = parse_release(version) or _CURRENT
        if number < _OLDEST:
            raise UnsupportedByServerError(
                f"{url} is Stepflow {version}, which this client does not support",
                hint=f"the oldest supported release is {_format_release(_OLDEST)}: upgrade the server",
            )
        return _describe_server(url, number, release=version)
    if isinstance(build, Mapping):
        commit = _replace_surrogates(str(build.get("gitVersion") or "")) or None
        return _describe_server(url, _CURRENT, release=_COMMITS.get(commit or ""), commit=commit)
    raise InvalidResponseError(f"{url} responds, but not like a Stepflow server", hint=ANOTHER_SERVICE)


def _replace_surrogates(text: str) -> str:
    """Return a text with lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()


def describe_pinned_server(url: str, release: str) -> Server:
    """Return a description of a server of a known release, without sending a request.

    Raises:
        InvalidArgumentError: If `release` is not a supported release such as `0.11` or `0.13.0`.
    """
    number = parse_release(release)
    if number is None or number < _OLDEST:
        raise wrong(
            "server_release", f"a release since {_format_release(_OLDEST)}, such as '0.11' or '0.13.0'", release
        )
    return _describe_server(url, number, release=_replace_surrogates(release))


def parse_release(release: object) -> tuple[int, int] | None:
    """Return the first two numbers of a release such as `0.13` or `v0.13.0`; None if it is none."""
    parts = release.removeprefix("v").split(".") if isinstance(release, str) else []
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return None


def parse_target_release(release: object) -> tuple[int, int] | None:
    """Return the first two numbers of a release that flows can be checked for; None if it is none of them."""
    number = parse_release(release)
    return number if number is not None and _OLDEST <= number <= NEWEST else None


def _format_release(number: tuple[int, int]) -> str:
    return f"{number[0]}.{number[1]}"


def _describe_server(url: str, number: tuple[int, int], *, release: str | None, commit: str | None = None) -> Server:
    dialect = min(number, _CURRENT)
    capabilities = {
        **{name: dialect >= since for name, since in _SINCE.items()},
        **{name: dialect <= until for name, until in _UNTIL.items()},
    }
    return Server(
        url=url,
        dialect=_format_release(dialect),
        release=release,
        commit=commit,
        capabilities=capabilities,
        needs_translation=dialect < _CURRENT,
    )


def require_capability(server: Server | ServerInfo, capability: str, what: str) -> None:
    """Check that the server has a capability.

    Args:
        server: The server.
        capability: The capability that the server must have.
        what: What needs it, as the beginning of the error message, for example `blobs`.

    Raises:
        UnsupportedByServerError: If the server does not have it. The hint names the first release that does.
    """
    if not server.capabilities[capability]:
        raise UnsupportedByServerError(
            f"{what}: not supported by this server ({server.release or server.dialect})",
            hint=f"it needs release {_format_release(_SINCE[capability])} or newer",
        )


class OperationRequest(NamedTuple):
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

    def __call__(self, *arguments: Any, **named: Any) -> OperationRequest:
        """Return a request. Arguments by name that are None are left out.

        Args:
            *arguments: The parameters of the path.
            **named: The other parameters of the generated function; a JSON body is a dict.
        """
        parameters = {name: value for name, value in named.items() if value is not None}
        run_id = arguments[0] if arguments and self.module.startswith("run.") else None
        return OperationRequest(self, self._generated.build_request(*arguments, **parameters), run_id)

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

OPERATIONS = {value.name: value for value in tuple(globals().values()) if isinstance(value, Operation)}
"""All operations by name."""


def find_operation(method: str, path: str) -> Operation | None:
    """Return the operation of a request; None if the API has no such operation.

    Args:
        method: The HTTP method.
        path: The path below `/api/v1`, without the query.
    """
    for operation, pattern in _get_path_patterns():
        if operation.method == method and pattern.fullmatch(path):
            return operation
    return None


@cache
def _get_path_patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    return [(operation, re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path))) for operation in OPERATIONS.values()]
