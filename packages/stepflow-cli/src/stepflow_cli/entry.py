"""The entry point of the `stepflow` command. Help and completion are printed without importing click."""

from __future__ import annotations

import gc
import os
import sys

from ._version import VERSION

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    try:
        if _print_at_once():
            return
        # Imports create many objects and little garbage; by default, every 700th object starts a garbage collection.
        gc.set_threshold(50_000)
        from .main import main as run

        run()
    except KeyboardInterrupt:
        # Ctrl-C before the command handles it itself, or a second one while the command exits.
        print("stepflow: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        # The process is exiting, so a last garbage collection would be wasted time.
        gc.freeze()


def _print_at_once() -> bool:
    """Print the output of a call that needs no command, and return whether it was one and could be printed."""
    if "_STEPFLOW_COMPLETE" not in os.environ and sys.argv[1:] in (["--version"], ["-V"], ["version"]):
        text: str | None = f"stepflow {VERSION}\n"
    else:
        from . import front

        text = front.shown(sys.argv[1:], os.environ)
    if text is None:
        return False
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        return False
    return True
