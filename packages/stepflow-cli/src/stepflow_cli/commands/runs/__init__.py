"""`stepflow runs`: what has been run on a server."""

from __future__ import annotations

from ...parsing import LazyGroup

__all__ = ["command"]

_COMMANDS: dict[str, str] = {}

command = LazyGroup(
    "runs",
    commands_of=_COMMANDS,
    package=__name__,
    help="See, follow, cancel and delete the runs of a server.",
)
"""The group; each of its commands is a module of this package."""
