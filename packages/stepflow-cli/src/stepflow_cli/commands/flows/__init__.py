"""`stepflow flows`: the flows that a server stores."""

from __future__ import annotations

from ...params.parsing import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "list": "List the flows of recent runs, the one that ran last first.",
    "store": "Store flows on a server and print their ids.",
    "get": "Print a flow that is stored on a server.",
    "delete": "Ask a server to delete flows.",
    "variables": "List the variables that a flow declares.",
}

command = LazyGroup(
    "flows",
    commands_of=_COMMANDS,
    package=__name__,
    help="Store, read and delete flows on a server.",
)
"""The group. Each of its commands is a module of this package."""
