"""Where the `stepflow` command begins: what needs no command is answered before click is imported."""

from __future__ import annotations

import gc
import os
import sys

from ._version import VERSION

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    if _print_at_once():
        return
    # Imports make many objects and no garbage; by default every 700th of them starts a search for it.
    gc.set_threshold(50_000)
    try:
        from .main import main as run

        run()
    except KeyboardInterrupt:
        # Ctrl-C while modules are imported, or once more while the command ends.
        print("stepflow: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        # The process ends: what is there goes with it, and is not searched for garbage once more.
        gc.freeze()


def _print_at_once() -> bool:
    """Print what needs no command, and return whether that was done; what cannot be written is told by others."""
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
