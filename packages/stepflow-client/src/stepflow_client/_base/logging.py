"""The package's loggers. Setting `STEPFLOW_LOG=debug` logs to standard error, with no code required."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


class _LazyLogger:
    """The logger `stepflow.client`.

    It doesn't import `logging`, since any program that uses the log has already imported it.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[[str], None]] = []

    def debug(self, message: str, *args: object) -> None:
        if "logging" in sys.modules:
            get_logger("client").debug(message, *args, stacklevel=2)

    def info(self, message: str, *args: object) -> None:
        if "logging" in sys.modules:
            get_logger("client").info(message, *args, stacklevel=2)

    def warning(self, message: str, *args: object) -> None:
        for listener in self.listeners:
            listener(message % args)
        if "logging" in sys.modules:
            get_logger("client").warning(message, *args, stacklevel=2)


logger = _LazyLogger()
"""The logger for clients."""


@contextmanager
def listening_to_warnings(listener: Callable[[str], None]) -> Iterator[None]:
    """Also pass client warnings to a function for the duration of the `with` block.

    Args:
        listener: Called with each warning's text, from any thread.
    """
    logger.listeners.append(listener)
    try:
        yield
    finally:
        logger.listeners.remove(listener)


@cache
def get_logger(part: str) -> logging.Logger:
    """Return the logger for one part of the package.

    Args:
        part: `client`, `runtime` or `server` (the output of an embedded server).
    """
    import logging

    parent = logging.getLogger("stepflow")
    if not any(isinstance(handler, logging.NullHandler) for handler in parent.handlers):
        # Without a handler, Python would print warnings to stderr.
        parent.addHandler(logging.NullHandler())
    return logging.getLogger(f"stepflow.{part}")


def log_to_stderr(level: str) -> None:
    """Configure `stepflow` and its child loggers to write to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`. `off`, `0`, `false` and `no` disable logging; anything else means
            `debug`.
    """
    if level.strip().lower() in ("off", "0", "false", "no"):
        return
    import logging

    logger = logging.getLogger("stepflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.getLevelNamesMapping().get(level.upper(), logging.DEBUG))
