"""Lists all commands from the definition of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import click
from stepflow_cli.main import cli

__all__ = ["commands", "formats"]


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield the name (such as `runs get`) and the object of each command that is not a group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def formats(command: click.Command) -> tuple[str, ...]:
    """Return the output formats of a command, or () if it has no option `--format`."""
    for parameter in command.params:
        if "--format" in parameter.opts and isinstance(parameter.type, click.Choice):
            return tuple(parameter.type.choices)
    return ()
