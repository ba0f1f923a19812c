"""Log formatting, with one line per record regardless of what servers and workers write."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from .terminal import escape, escape_traceback


class OneLineFormatter(logging.Formatter):
    """Time, level, logger and message on one line. In tracebacks, each exception message takes up a single line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return escape(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Return the exception's traceback."""
        return escape_traceback(traceback.format_exception(*ei)).rstrip("\n")
