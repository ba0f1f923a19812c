"""What a command says to people besides its data."""

from __future__ import annotations

import click

from ..context import current_session
from ..errors import printable

__all__ = ["note"]


def note(text: str) -> None:
    """Say something on standard error; those who asked for JSON, or for quiet, get nothing but errors there."""
    session = current_session()
    if not session.json_errors and not session.quiet:
        click.echo(f"stepflow: {printable(text)}", err=True)
