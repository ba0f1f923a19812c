"""The signals that ask a process to terminate."""

from __future__ import annotations

import signal

TERMINATION = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""SIGTERM, and SIGHUP, which is sent when a terminal is closed. Windows has only SIGTERM."""
