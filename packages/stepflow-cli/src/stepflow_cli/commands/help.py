"""`stepflow help`."""

from __future__ import annotations

import click

from ..errors import usage
from ..params.parsing import Command, LazyGroup

__all__ = ["command"]


@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command.

    Without one, that of stepflow itself: 'stepflow help runs list' is the same as 'stepflow runs list --help'.
    """
    place = ctx.find_root()
    for word in words:
        group = place.command
        if not isinstance(group, LazyGroup):
            raise usage(f"{place.command_path} has no command {word}", f"'{place.command_path} --help' shows its help")
        name, found, _ = group.resolve_command(place, [word])
        assert found is not None
        place = click.Context(found, info_name=name, parent=place, **found.context_settings)
    click.echo(place.get_help())
