"""The entry point of the `stepflow` command."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
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
