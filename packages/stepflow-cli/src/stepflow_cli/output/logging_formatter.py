"""Formats log records on one line each, no matter what servers and workers write."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from .colors_and_escaping import escape, escape_traceback


class OneLineFormatter(logging.Formatter):
    """Writes the time, level, logger and message on one line. In a traceback, each exception's message is one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        return escape(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Format an exception's traceback."""
        return escape_traceback(traceback.format_exception(*ei)).rstrip("\n")
