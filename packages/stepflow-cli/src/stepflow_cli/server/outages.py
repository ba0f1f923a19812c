"""What people are told when the client has lost the server and asks again: it may do so for minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ..context import Session, current_session
from ..errors import printable

__all__ = ["told_by", "tracked"]

_LOGGER = logging.getLogger("stepflow.client")


def _on_standard_error(text: str) -> None:
    click.echo(text, err=True)


class _Teller(logging.Handler):
    """Tells on the session's terminal; logged from whatever thread."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.WARNING)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        tellers = self._session.tellers
        tell = tellers[-1] if tellers else _on_standard_error
        tell(f"stepflow: {printable(record.getMessage())}")


@contextmanager
def tracked() -> Iterator[None]:
    """Print outages within the block; not where JSON is asked for, nor where the log has them."""
    parent = _LOGGER.parent
    has_log = parent is not None and any(not isinstance(each, logging.NullHandler) for each in parent.handlers)
    session = current_session()
    if has_log or session.json_errors or session.quiet:
        yield
        return
    teller = _Teller(session)
    _LOGGER.addHandler(teller)
    try:
        yield
    finally:
        _LOGGER.removeHandler(teller)


@contextmanager
def told_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Let something else tell in the block.

    Args:
        tell: Writes one line.
    """
    tellers = current_session().tellers
    tellers.append(tell)
    try:
        yield
    finally:
        tellers.remove(tell)
