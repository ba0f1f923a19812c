"""Recognises the release of a server, and lists the capabilities of each release. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .._data.arguments import wrong
from ..errors import InvalidResponseError, UnsupportedByServerError
from .server_advice import ANOTHER_SERVICE

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
