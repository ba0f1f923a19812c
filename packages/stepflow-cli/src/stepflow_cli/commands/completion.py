"""`stepflow completion`."""

from __future__ import annotations

import click

from ..completion import SHELLS, VARIABLE
from ..main import cli
from ..params.options import Choice
from ..params.parsing import Command


@click.command("completion", cls=Command)
@click.argument("shell", type=Choice(list(SHELLS)), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    """For bash, put this line into ~/.bashrc:

    \b
      eval "$(stepflow completion bash)"

    For zsh, put it into ~/.zshrc, behind compinit:

    \b
      eval "$(stepflow completion zsh)"

    For fish, write the script once:

    \b
      stepflow completion fish > ~/.config/fish/completions/stepflow.fish

    It completes commands, options, flow files, the steps, examples and variables of the flow on the line, runs of the
    server, profiles and settings.
    """
    click.echo(SHELLS[shell](cli, {}, "stepflow", VARIABLE).source())
