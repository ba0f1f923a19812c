"""The release of a server, and the capabilities of each release. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import wrong
from ..errors import InvalidResponseError, UnsupportedByServerError
from .server_advice import ANOTHER_SERVICE

if TYPE_CHECKING:
    from ..types import ServerInfo

_COMMITS = {"37c721f": "0.12.0", "dd82fa7": "0.13.0"}
"""Releases by commit: servers from 0.12 on report their commit, not their release."""

_OLDEST, _CURRENT = (0, 9), (0, 12)
_NEWEST = (0, 13)
TARGETS = "0.9 to 0.13"
"""The releases that flows can be checked for, in words."""

# Capabilities by the release that introduced them; `server_info()` shows them.
_SINCE: dict[str, tuple[int, int]] = {
    "runs_in_background": (0, 10),  # POST /runs can respond before the run ends
    "wait": (0, 10),  # GET /runs/{id}?wait=true
    "blobs": (0, 10),
    "recovery": (0, 10),  # a server that was killed resumes its runs after a restart
    "roots_filter": (0, 10),  # GET /runs?rootsOnly=true
    "step_of_item": (0, 10),  # the steps of each item of a batch
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
    """A server, with the fields of `ServerInfo`, but without importing pydantic."""

    url: str
    dialect: str
    release: str | None
    commit: str | None
    capabilities: dict[str, bool]
    needs_translation: bool
    """Whether it uses another wire format than the current one."""


def recognise(url: str, health: Mapping[str, Any]) -> Server:
    """Identify a server from its response to GET /health.

    Servers up to 0.11 report their release; newer ones are recognised by the format of the response.

    Raises:
        InvalidResponseError: If this is not the response of a Stepflow server.
    """
    version, built = health.get("version"), health.get("build")
    if isinstance(version, str):
        version = _printable(version)
        return _info(url, _dialect(version) or _CURRENT, release=version)
    if isinstance(built, Mapping):
        commit = _printable(str(built.get("gitVersion") or "")) or None
        return _info(url, _CURRENT, release=_COMMITS.get(commit or ""), commit=commit)
    raise InvalidResponseError(f"{url} responds, but not like a Stepflow server", hint=ANOTHER_SERVICE)


def _printable(text: str) -> str:
    """Return a text with lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()


def pinned(url: str, release: str) -> Server:
    """Return a description of a server of a known release, without sending a request.

    Raises:
        InvalidArgumentError: If `release` is not a release such as `0.11` or `0.13.0`.
    """
    dialect = _dialect(release)
    if dialect is None:
        raise wrong("server_release", "a release such as '0.11' or '0.13.0'", release)
    return _info(url, dialect, release=_printable(release))


def release_number(release: object) -> tuple[int, int] | None:
    """Return the first two numbers of a release such as `0.13` or `v0.13.0`; None if it is none."""
    parts = release.removeprefix("v").split(".") if isinstance(release, str) else []
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return None


def target_release(release: object) -> tuple[int, int] | None:
    """Return the first two numbers of a release that flows can be checked for; None if it is none of them."""
    number = release_number(release)
    return number if number is not None and _OLDEST <= number <= _NEWEST else None


def _dialect(release: object) -> tuple[int, int] | None:
    number = release_number(release)
    return None if number is None else max(_OLDEST, min(number, _CURRENT))


def _info(url: str, dialect: tuple[int, int], *, release: str | None, commit: str | None = None) -> Server:
    capabilities = {
        **{name: dialect >= since for name, since in _SINCE.items()},
        **{name: dialect <= until for name, until in _UNTIL.items()},
    }
    return Server(
        url=url,
        dialect=f"{dialect[0]}.{dialect[1]}",
        release=release,
        commit=commit,
        capabilities=capabilities,
        needs_translation=dialect < _CURRENT,
    )


def require(server: Server, capability: str, what: str) -> None:
    """Check that the server has a capability.

    Args:
        server: The server.
        capability: The capability that the server must have.
        what: What needs it, as the beginning of the error message, for example `blobs`.

    Raises:
        UnsupportedByServerError: If the server does not have it. The hint names the first release that does.
    """
    if not server.capabilities[capability]:
        since = ".".join(str(part) for part in _SINCE[capability])
        raise UnsupportedByServerError(
            f"{what}: not with this server ({server.release or server.dialect})",
            hint=f"it works from release {since} on",
        )


def has_step_outputs(server: Server | ServerInfo, items: int = 1) -> bool:
    """Return whether the server returns the outputs of the steps of a run: 0.12 and newer do, 0.9 of one item."""
    return server.capabilities["step_outputs"] or (server.dialect == "0.9" and items == 1)
