"""The signals that ask a process to end."""

from __future__ import annotations

import signal

__all__ = ["TERMINATION"]

TERMINATION = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Sent by whoever stops a process, and by a terminal that is closed (Windows has only the first)."""
