"""Where the `stepflow` command begins: what needs no command is answered before click is imported."""

from __future__ import annotations

import sys

from ._version import VERSION

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:
        print(f"stepflow {VERSION}")
        return
    from .main import main as run

    run()
