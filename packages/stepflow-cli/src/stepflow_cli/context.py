"""State of one call of the command as a whole: how much it prints, and how it reports failures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .errors import NamedServer


_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


@dataclass
class Session:
    """The options of one call, given before or after the command's name, and state that its parts share."""

    verbosity: int = 0
    """How often -v was given."""
    log_level: str | None = None
    log_file: str | None = None
    log_variable: str = field(default_factory=partial(os.environ.pop, "STEPFLOW_LOG", ""))
    """STEPFLOW_LOG, which is removed: the client, which is imported later, would log too, without escaping anything."""
    color: str = "auto"
    """auto, always or never."""
    json_errors: bool = False
    """Whether failures are reported as a line of JSON."""
    quiet: bool = False
    """Whether only failures are printed."""
    kept: object = None
    """The `Target` of commands that name no server, if it outlives the command; otherwise None."""
    server: NamedServer | None = None
    """The server that the command uses, if its failures name it."""
    modules: object = None
    """The `ProjectModules` of the flows that were given as `module:function`; None if there were none."""
    reporters: list[Callable[[str], None]] = field(default_factory=list)
    """The last one prints lines while something draws on the terminal."""

    @property
    def server_log_level(self) -> str | None:
        """The log level of an embedded server, if the command line sets one."""
        return self.log_level or ("debug" if self.verbosity > 1 else None)

    def start_logging(self) -> None:
        """Enable the loggers of the client and of an embedded server, if the command line asks for it."""
        level = self.log_level or ("debug" if self.verbosity > 1 else "info" if self.verbosity else None)
        level = level or _parse_log_variable(self.log_variable)
        if level == "off" or (level is None and self.log_file is None):
            return
        import logging

        from .output.log import LineFormatter

        try:
            handler = logging.FileHandler(self.log_file, encoding="utf-8") if self.log_file else logging.StreamHandler()
        except OSError as error:
            from .errors import usage

            raise usage(f"the log file {self.log_file} cannot be written: {error.strerror}") from None
        # A failure to write the log must not print a traceback.
        logging.raiseExceptions = False
        handler.setFormatter(LineFormatter())
        names = {"trace": "DEBUG", "warn": "WARNING"}
        # The handler also needs the level: another handler may make the logger pass on more of a server's messages.
        handler.setLevel(names.get(level or "info", (level or "info").upper()))
        logger = logging.getLogger("stepflow")
        logger.addHandler(handler)
        logger.setLevel(handler.level)


def _parse_log_variable(text: str) -> str | None:
    """Return the log level that STEPFLOW_LOG sets; None if it is not set.

    Raises:
        Problem: If it is not a level. The client would log everything.
    """
    word = text.strip().lower()
    if not text or word in ("off", "0", "false", "no"):
        return "off" if text else None
    if word in ("1", "true", "yes"):
        return "debug"
    if word not in _LEVELS:
        from .errors import suggest, usage

        raise usage(f"STEPFLOW_LOG is {', '.join(_LEVELS)} or off, not {text!r}", suggest(word, _LEVELS))
    return word


def current_session() -> Session:
    """Return the session of the running command, or a new session if no command is running."""
    context = click.get_current_context(silent=True)
    session = context.find_root().obj if context is not None else None
    return session if isinstance(session, Session) else Session()
