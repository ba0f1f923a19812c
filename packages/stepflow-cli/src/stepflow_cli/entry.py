"""Where the `stepflow` command begins: what needs no command is answered before click is imported."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress

from ._version import VERSION

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] in (["--version"], ["-V"], ["version"]):
        with suppress(OSError):  # what follows tells of it
            print(f"stepflow {VERSION}", flush=True)
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
