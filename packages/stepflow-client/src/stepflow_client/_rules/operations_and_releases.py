"""Server releases and their capabilities, and the HTTP API's operations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import argument_error
from ..errors import InvalidResponseError, UnsupportedByServerError

if TYPE_CHECKING:
    from ..types import ServerInfo

# Since 0.12, servers report their commit rather than their release.
_RELEASE_BY_COMMIT = {"37c721f": "0.12.0", "dd82fa7": "0.13.0"}

_OLDEST, _CURRENT, NEWEST = (0, 10), (0, 12), (0, 13)
TARGET_RANGE = "0.10 to 0.13"
"""The range of releases that flows can be checked against."""

# The release that introduced each capability shown by `server_info()`.
_FIRST_RELEASES: dict[str, tuple[int, int]] = {
    "empty_batch": (0, 11),
    "flow_variables": (0, 11),
    "events": (0, 12),
    "live_steps": (0, 12),  # steps are listed while their run is still in progress
    "step_outputs": (0, 12),
}
_LAST_RELEASES: dict[str, tuple[int, int]] = {
    "exact_numbers": (0, 11),  # integers beyond 2**53 stay exact, and 1.0 differs from 1
    "cancel_refuses_finished": (0, 11),
}


class Server(NamedTuple):
    """A server, described by the fields of `ServerInfo` plus `needs_translation`."""

    url: str
    dialect: str
    release: str | None
    commit: str | None
    capabilities: dict[str, bool]
    needs_translation: bool
    """Whether the server's wire format differs from the current one."""


def identify_server(url: str, health: Mapping[str, Any]) -> Server:
    """Identify a server from its response to GET /health.

    Servers up to 0.11 report their release. Newer ones are recognized by the response format.

    Raises:
        InvalidResponseError: If the response is not from a Stepflow server.
        UnsupportedByServerError: If the release is too old to be supported.
    """
    version, build = health.get("version"), health.get("build")
    if isinstance(version, str):
        version = _replace_surrogates(version)
        number = parse_release(version) or _CURRENT
        if number < _OLDEST:
            hint = f"the oldest supported release is {_format_release(_OLDEST)}: upgrade the server"
            message = f"{url} is Stepflow {version}, which this client does not support"
            raise UnsupportedByServerError(message, hint=hint)
        return _make_server(url, number, release=version)
    if isinstance(build, Mapping):
        commit = _replace_surrogates(str(build.get("gitVersion") or "")) or None
        return _make_server(url, _CURRENT, release=_RELEASE_BY_COMMIT.get(commit or ""), commit=commit)
    # Import this lazily: flow checks need the releases, but don't open connections.
    from .transport_errors import ANOTHER_SERVICE

    raise InvalidResponseError(f"{url} responds, but not like a Stepflow server", hint=ANOTHER_SERVICE)


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def make_pinned_server(url: str, release: str) -> Server:
    """Describe a server whose release is already known, without sending a request.

    Raises:
        InvalidArgumentError: If `release` isn't a supported release such as `0.11` or `0.13.0`.
    """
    number = parse_release(release)
    if number is None or number < _OLDEST:
        expected = f"a release since {_format_release(_OLDEST)}, such as '0.11' or '0.13.0'"
        raise argument_error("server_release", expected, release)
    return _make_server(url, number, release=_replace_surrogates(release))


def parse_release(release: object) -> tuple[int, int] | None:
    """Return the first two numbers of a release such as `0.13` or `v0.13.0`, or None if it isn't valid."""
    parts = release.removeprefix("v").split(".") if isinstance(release, str) else []
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return None


def parse_checkable_release(release: object) -> tuple[int, int] | None:
    """Like `parse_release`, but return None unless flows can be checked against the release."""
    number = parse_release(release)
    return number if number is not None and _OLDEST <= number <= NEWEST else None


def _format_release(number: tuple[int, int]) -> str:
    return f"{number[0]}.{number[1]}"


def _make_server(url: str, number: tuple[int, int], *, release: str | None, commit: str | None = None) -> Server:
    dialect = min(number, _CURRENT)
    capabilities = {name: dialect >= since for name, since in _FIRST_RELEASES.items()}
    capabilities |= {name: dialect <= until for name, until in _LAST_RELEASES.items()}
    return Server(url, _format_release(dialect), release, commit, capabilities, needs_translation=dialect < _CURRENT)


def require_capability(server: Server | ServerInfo, capability: str, what: str) -> None:
    """Check that the server has a capability.

    Args:
        server: The server.
        capability: The required capability.
        what: The feature that needs the capability, e.g. `blobs`. The error message starts with it.

    Raises:
        UnsupportedByServerError: If the server lacks it. The hint names the first release that has it.
    """
    if not server.capabilities[capability]:
        hint = f"it needs release {_format_release(_FIRST_RELEASES[capability])} or newer"
        message = f"{what}: not supported by this server ({server.release or server.dialect})"
        raise UnsupportedByServerError(message, hint=hint)


class OperationRequest(NamedTuple):
    """A request for an operation, independent of the client that sends it."""

    operation: Operation
    parts: dict[str, Any]
    """The result of the generated `build_request`."""
    run_id: str | None = None
    """The run that the request is about. Used in error messages and to pick the server that has the run."""
    held: float = 0.0
    """How long, in seconds, the server is asked to hold the request. Added to the timeout."""
    is_retried: bool = True
    """Whether transports may resend the request."""


@dataclass(eq=False, repr=False)
class Operation:
    """An API operation in the current server's format. Call it to build a request."""

    module: str
    """The generated module under `stepflow_api.api`, imported on first use."""
    is_idempotent: bool = True
    """Whether sending the request twice has the same effect as sending it once. True for storing (which is
    content-addressed) and for cancelling and deleting (where a repeat changes nothing)."""
    capability: str | None = None
    """The capability the server needs (one of `ServerInfo.capabilities`), or None if every server supports the
    operation."""
    needs: str = ""
    """The feature that needs this capability. Error messages start with it."""
    not_found: str = ""
    """The reason to report for a 404 without a body. Empty if there is no specific reason."""
    keeps_numbers: bool = False
    """Whether to leave the response's numbers as sent, because the code that reads them restores integers itself."""

    def __call__(self, *arguments: Any, **named: Any) -> OperationRequest:
        """Build a request, omitting keyword arguments that are None.

        Args:
            *arguments: The path parameters.
            **named: The generated function's other parameters. Pass a JSON body as a dict.
        """
        parameters = {name: value for name, value in named.items() if value is not None}
        run_id = arguments[0] if arguments and self.module.startswith("run.") else None
        return OperationRequest(self, self._generated_module.build_request(*arguments, **parameters), run_id)

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def name(self) -> str:
        """The operation's name, taken from the generated module."""
        return self.module.rpartition(".")[2]

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self._generated_module.METHOD)

    @property
    def path(self) -> str:
        """The path under `/api/v1`, with `{placeholders}`."""
        return str(self._generated_module.PATH)

    @cached_property
    def _generated_module(self) -> Any:
        return import_module(f"stepflow_api.api.{self.module}")


_NO_RUN, _NO_FLOW, _NO_BLOB = "the server has no such run", "the server has no such flow", "the server has no such blob"

_NO_SERVER = "this is not a Stepflow server, or its API has a different path"

health_check = Operation("health.health_check", not_found=_NO_SERVER)
list_components = Operation("component.list_components", not_found=_NO_SERVER)
store_flow = Operation("flow.store_flow", not_found=_NO_SERVER)
get_flow = Operation("flow.get_flow", not_found=_NO_FLOW)
delete_flow = Operation("flow.delete_flow", not_found=_NO_FLOW)
get_flow_variables = Operation("flow.get_flow_variables", not_found=_NO_FLOW)
# Sending this twice creates two runs. The server may return 404 because, without a store, it loses its flows on
# restart.
create_run = Operation("run.create_run", is_idempotent=False, not_found=_NO_FLOW, keeps_numbers=True)
list_runs = Operation("run.list_runs", not_found=_NO_SERVER)
get_run = Operation("run.get_run", not_found=_NO_RUN)
delete_run = Operation("run.delete_run", not_found=_NO_RUN)
cancel_run = Operation("run.cancel_run", not_found=_NO_RUN)
# Only older servers return 404 here. Current servers return no items or steps for an unknown run.
get_run_items = Operation("run.get_run_items", not_found=_NO_RUN, keeps_numbers=True)
get_run_steps = Operation("run.get_run_steps", not_found=_NO_RUN, keeps_numbers=True)
get_run_step = Operation("run.get_run_step", not_found="there is no such step yet")
get_run_flow = Operation("run.get_run_flow", not_found=_NO_RUN)
get_run_events = Operation("run.get_run_events", capability="events", needs="a stream of events", not_found=_NO_RUN)
store_blob = Operation("blob.store_blob")
get_blob = Operation("blob.get_blob", not_found=_NO_BLOB)

OPERATIONS = {value.name: value for value in tuple(globals().values()) if isinstance(value, Operation)}
"""All operations by name."""


def find_operation(method: str, path: str) -> Operation | None:
    """Return the operation a request belongs to, or None if the API has no such operation.

    Args:
        method: The HTTP method.
        path: The path under `/api/v1`, without the query.
    """
    patterns = _get_path_patterns()
    return next((found for found, pattern in patterns if found.method == method and pattern.fullmatch(path)), None)


@cache
def _get_path_patterns() -> list[tuple[Operation, re.Pattern[str]]]:
    return [(operation, re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path))) for operation in OPERATIONS.values()]
