"""Messages of a command to people, separate from its data."""

from __future__ import annotations

import click

from ..context import current_session
from ..errors import printable

__all__ = ["note"]


def note(text: str) -> None:
    """Print a note on standard error, unless JSON or quiet output was requested: then only errors are printed there."""
    session = current_session()
    if not session.json_errors and not session.quiet:
        click.echo(f"stepflow: {printable(text)}", err=True)
