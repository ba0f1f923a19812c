"""What a command says to people besides its data."""

from __future__ import annotations

import click

from ..context import current_session
from ..errors import printable

__all__ = ["note"]


def note(text: str) -> None:
    """Say something on standard error; those who asked for JSON get nothing but errors there."""
    if not current_session().json_errors:
        click.echo(f"stepflow: {printable(text)}", err=True)
