"""Reading commands and running them, one after the other."""

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
    """All commands, for one server.

    Args:
        server: The server.
        session: What holds for all commands.
    """

    def __init__(self, server: KeptServer, session: Session) -> None:
        """Nothing has been run yet."""
        from ..main import cli

        self.server = server
        self.session = session
        self.group = ReplGroup(cli, self)
        self.job: Job | None = None
        """What was run last."""
        self.last: list[str] | None = None
        """The words that ran it."""

    def line(self, text: str) -> int:
        """Run a line and return its exit code; an empty one, or a comment, does nothing.

        Raises:
            Leave: If it says so.
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
            # The next line tries again.
            show(problem_of(error), as_json=False)
            return problem_of(error).exit_code
        return self.call(args[1:] if args[0] == "stepflow" else args)

    def call(self, args: list[str]) -> int:
        """Run the words of a line."""
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
        """Ask for lines at a prompt until somebody leaves."""
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
        """Run the lines on standard input; give the exit code of the last that failed, 0 if none did."""
        lines, failed = sys.stdin, 0
        # The commands must not read the lines of others as their input.
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
    """Take away what one command adds to the logging, so that the next one does not log twice."""
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
