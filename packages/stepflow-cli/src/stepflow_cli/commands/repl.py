"""`stepflow repl`."""

from __future__ import annotations

import sys

import click

from ..context import current_session
from ..params.options import server_options
from ..params.parsing import Command
from ..settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("repl", cls=Command)
@server_options(default="embedded")
def command(server: ServerOptions) -> int:
    """Run commands at a prompt, all against one server.

    Takes every command of stepflow, without that word before it; what is named with --url, --profile or --local on a
    line holds for that line. An embedded server, with its flows and runs, lasts until one leaves. Further words are
    rerun, status, workflow, input, help, and exit or quit. Tab completes; Ctrl-C gives up the line, or ends the
    command that runs; Ctrl-D leaves.

    Without a terminal the lines of standard input are run, whatever fails among them; the exit code is that of the
    last one that failed, or 0.
    """
    from .._version import VERSION
    from ..repl.server import KeptServer
    from ..repl.shell import Shell

    with KeptServer(server) as kept:
        shell = Shell(kept, current_session())
        if not sys.stdin.isatty():
            return shell.read_stdin()
        print(f"stepflow {VERSION} at {kept}. help lists the commands, Ctrl-D exits.", file=sys.stderr)
        shell.read_terminal()
    return 0
