"""Messages about outages: while the client tries to reach a lost server again, possibly for minutes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from stepflow_client._base.logging import telling

from ..context import current_session
from ..errors import printable

__all__ = ["told_by", "tracked"]


def _on_standard_error(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def tracked() -> Iterator[None]:
    """Print outages within the block, unless JSON or quiet output was requested, or the log contains them."""
    session = current_session()
    if session.json_errors or session.quiet or _are_logged():
        yield
        return

    def tell(warning: str) -> None:
        tellers = session.tellers
        (tellers[-1] if tellers else _on_standard_error)(f"stepflow: {printable(warning)}")

    with telling(tell):
        yield


@contextmanager
def told_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Print outages with another function in the block.

    Args:
        tell: Writes one line.
    """
    tellers = current_session().tellers
    tellers.append(tell)
    try:
        yield
    finally:
        tellers.remove(tell)


def _are_logged() -> bool:
    if "logging" not in sys.modules:
        return False
    import logging

    return any(not isinstance(each, logging.NullHandler) for each in logging.getLogger("stepflow").handlers)
