"""Reading commands and running them one after the other."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..context import Session
from ..errors import problem_of, show, usage, wants_json
from ..exit_codes import ExitCode
from .server import KeptServer
from .words import Leave, ReplGroup

if TYPE_CHECKING:
    from ..runs.execute import Job

__all__ = ["Shell"]


class Shell:
    """All commands, on one server.

    Args:
        server: The server.
        session: The session that all commands share.
    """

    def __init__(self, server: KeptServer, session: Session) -> None:
        """Start without a last job."""
        from ..main import cli

        self.server = server
        self.session = session
        self.group = ReplGroup(cli, self)
        self.job: Job | None = None
        """The last job that was run."""
        self.last: list[str] | None = None
        """The words of the command that ran it."""

    def line(self, text: str) -> int:
        """Run a line and return its exit code. An empty line or a comment does nothing.

        Raises:
            Leave: If the line asks to exit.
        """
        if not text.strip() or text.lstrip().startswith("#"):
            return ExitCode.OK
        try:
            args = shlex.split(text)
        except ValueError as error:
            show(problem_of(usage(f"the line cannot be read: {str(error).lower()}")), as_json=False)
            return ExitCode.USAGE
        try:
            self.server.renew()
        except Exception as error:
            # The next line retries to start the server.
            show(problem_of(error), as_json=False)
            return problem_of(error).exit_code
        return self.call(args[1:] if args[0] == "stepflow" else args)

    def call(self, args: list[str]) -> int:
        """Run the words of a line and return the exit code."""
        from ..main import call
        from ..runs.execute import Job

        if not args:
            return ExitCode.OK
        session = dataclasses.replace(self.session, json_errors=wants_json(args), job=None)
        with _own_logging():
            code = call(args, session, self.group, "")
        if isinstance(session.job, Job):
            self.job, self.last = session.job, args
        return code

    def read_terminal(self) -> None:
        """Prompt for lines until the user exits."""
        from .prompt import make_prompt

        ask = make_prompt(self)
        while True:
            try:
                self.line(ask())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return

    def read_stdin(self) -> int:
        """Run the lines on standard input. Return the exit code of the last one that failed, or 0."""
        lines, failed = sys.stdin, 0
        # Commands must not read the following lines as their input.
        with open(os.devnull, encoding="utf-8") as nothing:
            sys.stdin = nothing
            try:
                for text in lines:
                    code = self.line(text)
                    failed = code or failed
                    if code == ExitCode.INTERRUPTED:
                        break
            except Leave:
                pass
            finally:
                sys.stdin = lines
        return failed


@contextmanager
def _own_logging() -> Iterator[None]:
    """Remove the log handlers that a command adds, so that the next command does not log twice."""
    logger = logging.getLogger("stepflow")
    handlers, level = list(logger.handlers), logger.level
    logger.handlers = [each for each in handlers if isinstance(each, logging.NullHandler)]
    try:
        yield
    finally:
        for each in logger.handlers:
            if each not in handlers:
                each.close()
        logger.handlers = handlers
        logger.setLevel(level)
