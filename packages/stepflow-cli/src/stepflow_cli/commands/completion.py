"""`stepflow completion`."""

from __future__ import annotations

import click

from ..parsing import Command
from ..problems import nearest, usage

__all__ = ["command"]

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", metavar="bash|zsh|fish", shell_complete=lambda *_: list(_SHELLS))
def command(shell: str) -> None:
    """Print the script that lets a shell complete this command.

    For bash, put this line into ~/.bashrc:

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
    if shell not in _SHELLS:
        raise usage(
            f"there is no script for {shell}", nearest(shell, _SHELLS) or f"there is one for {', '.join(_SHELLS)}"
        )
    from ..main import cli
    from ..shells import SHELLS, VARIABLE

    click.echo(SHELLS[shell](cli, {}, "stepflow", VARIABLE).source())
