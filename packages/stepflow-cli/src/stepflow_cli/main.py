"""The command group: finds commands, turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from ._version import VERSION
from .exit_codes import ExitCode

__all__ = ["cli", "main"]

_COMMANDS = {
    "run": "Run a flow and print its result.",
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called or its help is asked for; `--help` needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f".commands.{cmd_name.replace('-', '_')}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"stepflow {VERSION}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=ExitCode.help_text(),
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Run Stepflow flows on a server, remote or embedded.

    Only results go to standard output; everything else goes to standard error.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_run(args))


def _run(args: Sequence[str] | None) -> int:
    try:
        result: Any = cli.main(
            args=list(args) if args is not None else None, prog_name="stepflow", standalone_mode=False
        )
    except click.exceptions.Abort:
        click.echo("stepflow: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except BrokenPipeError:
        # Whoever read our output has stopped. The interpreter must not try to flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        from stepflow_client import StepflowClientError

        if not isinstance(error, StepflowClientError):
            raise
        click.echo(f"stepflow: {error}", err=True)
        return ExitCode.for_error(error)
    return result if isinstance(result, int) else ExitCode.OK
