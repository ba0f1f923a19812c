"""The entry point for the `stepflow` command."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        # By default, every 700th object triggers a collection, but imports create many objects and little garbage.
        gc.set_threshold(50_000)
        from .main import run_command_line_and_exit

        run_command_line_and_exit()
    except KeyboardInterrupt:
        # Handle a Ctrl-C that arrives before the command can handle it, or a second one during its exit.
        print("stepflow: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        # Skip the final garbage collection: the process is exiting anyway.
        gc.freeze()
