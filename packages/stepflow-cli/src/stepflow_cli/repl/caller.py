"""The interface of a repl that its words and prompt use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from ..context import Session
    from ..runs.execute import Job
    from .server import KeptServer

__all__ = ["Caller"]


class Caller(Protocol):
    """A repl, as used by its words and prompt."""

    @property
    def server(self) -> KeptServer:
        """The server that all commands use."""
        ...

    @property
    def session(self) -> Session:
        """The session that all commands share."""
        ...

    @property
    def group(self) -> click.Group:
        """All commands."""
        ...

    @property
    def job(self) -> Job | None:
        """The last job that was run."""
        ...

    @property
    def last(self) -> list[str] | None:
        """The words of the command that ran it."""
        ...

    def call(self, args: list[str]) -> int:
        """Run the words of a line and return the exit code."""
        ...
