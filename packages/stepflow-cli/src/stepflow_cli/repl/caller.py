"""What the words and the prompt of a repl need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from ..context import Session
    from ..runs.execute import Job
    from .server import KeptServer

__all__ = ["Caller"]


class Caller(Protocol):
    """The repl, as its words and its prompt see it."""

    @property
    def server(self) -> KeptServer:
        """The server of all commands."""
        ...

    @property
    def session(self) -> Session:
        """What holds for all commands."""
        ...

    @property
    def group(self) -> click.Group:
        """All commands."""
        ...

    @property
    def job(self) -> Job | None:
        """What was run last."""
        ...

    @property
    def last(self) -> list[str] | None:
        """The words that ran it."""
        ...

    def call(self, args: list[str]) -> int:
        """Run the words of a line, and return the exit code."""
        ...
