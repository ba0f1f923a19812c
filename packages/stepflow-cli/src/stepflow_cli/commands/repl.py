"""`stepflow repl`."""

from __future__ import annotations

import sys

import click

from .._version import VERSION
from ..context import current_session
from ..params.options import server_options
from ..params.parsing import Command
from ..settings.server_choice import ServerOptions


@click.command("repl", cls=Command)
@server_options(default="embedded")
def command(server: ServerOptions) -> int:
    """Enter any command without the leading word stepflow; --url, --profile or --local on a line apply to that line. An
    embedded server, with its flows and runs, lasts until the prompt is left. Further commands are flow, rerun, status,
    workflow, input, help, and exit or quit. Tab completes; Ctrl-C discards the line, or interrupts the running command;
    Ctrl-D leaves.

    Commands that name no flow take the current one: that of the last run, or of 'flow FILE'. A line that begins with {
    is an expression, as for eval-expr: {$step: a, path: $.x}. One that begins with / calls a component:
    /builtin/create_messages --input-json '{"user_prompt": "Hi"}'.

    Without a terminal, all lines of standard input are run, even after one fails; the exit code is that of the last one
    that failed, or 0.
    """
    from ..repl.shell import KeptServer, Shell

    with KeptServer(server) as kept:
        shell = Shell(kept, current_session())
        if not sys.stdin.isatty():
            return shell.read_stdin()
        print(f"stepflow {VERSION} at {kept}. help lists the commands, Ctrl-D exits.", file=sys.stderr)
        shell.read_terminal()
    return 0
