"""`stepflow version`."""

from __future__ import annotations

import click

from .._version import VERSION
from ..params.parsing import Command

__all__ = ["command"]


@click.command("version", cls=Command)
def command() -> None:
    """Show the version."""
    click.echo(f"stepflow {VERSION}")
