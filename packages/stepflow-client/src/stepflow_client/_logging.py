"""STEPFLOW_LOG=debug: the package's own log on standard error, without a line of code."""

from __future__ import annotations

import logging
import sys

__all__ = ["log_to_stderr"]


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
