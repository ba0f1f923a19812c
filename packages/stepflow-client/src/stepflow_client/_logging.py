"""The package's own log, and STEPFLOW_LOG=debug: that on standard error, without a line of code."""

from __future__ import annotations

import logging
import sys

__all__ = ["log_to_stderr", "logger", "server_logger"]

logger = logging.getLogger("stepflow.client")
"""Of the clients."""
server_logger = logging.getLogger("stepflow.server")
"""Of what an embedded server writes."""
# Without a handler of the user's, Python would print warnings to stderr.
logging.getLogger("stepflow").addHandler(logging.NullHandler())


def log_to_stderr(level: str) -> None:
    """Let the loggers below `stepflow` write to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`; `off` or `0` for none. Another word is taken for `debug`.
    """
    if level.strip().lower() in ("off", "0", "false", "no"):
        return
    logger = logging.getLogger("stepflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.getLevelNamesMapping().get(level.upper(), logging.DEBUG))
