"""`stepflow blobs`: values and files that a server stores."""

from __future__ import annotations

from ...params.parsing import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "put": "Store a file, or a JSON value, on a server and print its id.",
    "get": "Print a blob, or write it to a file.",
}

command = LazyGroup(
    "blobs",
    commands_of=_COMMANDS,
    package=__name__,
    help="Store and read blobs: JSON values and files, addressed by their content.",
)
"""The group. Each of its commands is a module of this package."""
