"""What holds for one call of the command as a whole: how much it tells, and in which form it fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import click

__all__ = ["Session", "current_session"]


@dataclass
class Session:
    """Filled by the options that every command takes, before the command or after it."""

    verbosity: int = 0
    """How often -v was given."""
    log_level: str | None = None
    log_file: str | None = None
    color: str = "auto"
    """auto, always or never."""
    json_errors: bool = False
    """Whether a failure is told as a line of JSON."""
    quiet: bool = False
    """Whether nothing is told but failures."""
    job: object = None
    """What the command runs, where it runs something: a `Job`."""
    kept: object = None
    """The server of those commands that name none: the `Target` of the repl they are typed in, or None."""
    tellers: list[Callable[[str], None]] = field(default_factory=list)
    """The last one writes a line while something draws on the terminal; shared by the commands of a repl."""

    @property
    def server_log_level(self) -> str | None:
        """What an embedded server writes, where the command line says."""
        return self.log_level or ("debug" if self.verbosity > 1 else None)

    def start_logging(self) -> None:
        """Let the loggers of the client and of an embedded server write, if the command line asks for it."""
        level = self.log_level or ("debug" if self.verbosity > 1 else "info" if self.verbosity else None)
        level = level or _level_of(os.environ.get("STEPFLOW_LOG", ""))
        if level is None and self.log_file is None:
            return
        # The client, which is imported later, would log besides, and escape nothing.
        os.environ.pop("STEPFLOW_LOG", None)
        if level == "off":
            return
        import logging

        from .output.log import LineFormatter

        try:
            handler = logging.FileHandler(self.log_file, encoding="utf-8") if self.log_file else logging.StreamHandler()
        except OSError as error:
            from .errors import usage

            raise usage(f"the log file {self.log_file} cannot be written: {error.strerror}") from None
        # A log that cannot be written is no reason for a traceback.
        logging.raiseExceptions = False
        handler.setFormatter(LineFormatter())
        names = {"trace": "DEBUG", "warn": "WARNING"}
        # Of the handler too: another one may keep more of what a server writes.
        handler.setLevel(names.get(level or "info", (level or "info").upper()))
        logger = logging.getLogger("stepflow")
        logger.addHandler(handler)
        logger.setLevel(handler.level)


def _level_of(text: str) -> str | None:
    """Return the level that STEPFLOW_LOG means, by the rules of the client; None where it is not set."""
    word = text.strip().lower()
    if not text or word in ("off", "0", "false", "no"):
        return "off" if text else None
    return word if word in ("debug", "info", "warn", "warning", "error", "critical") else "debug"


def current_session() -> Session:
    """Return the session of the command that runs; outside of one, a fresh session."""
    context = click.get_current_context(silent=True)
    session = context.find_root().obj if context is not None else None
    return session if isinstance(session, Session) else Session()
