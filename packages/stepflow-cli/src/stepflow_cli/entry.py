"""The entry point for the `stepflow` command."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        # By default, garbage is collected after every 700 new objects. Imports create many objects, but hardly any
        # garbage.
        gc.set_threshold(50_000)
        from .main import run_command_line_and_exit

        run_command_line_and_exit()
    except KeyboardInterrupt:
        # Handle a Ctrl-C that arrives before the command can handle it, or a second one while it's exiting.
        print("stepflow: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        # Skip the final garbage collection, because the process is exiting anyway.
        gc.freeze()
