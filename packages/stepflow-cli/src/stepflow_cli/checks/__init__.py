"""What `stepflow doctor` looks at: the environment, the way to the server, and the server itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "error", "ok", "skipped", "warning"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    check: str
    """What was looked at."""
    status: Literal["ok", "warning", "error", "skipped"]
    message: str
    """What was found."""
    hint: str | None = None
    """How to mend it."""
    exit_code: int = 1
    """Of an error: 4 where there is no server, or it refuses us."""


def ok(check: str, message: str) -> Check:
    """Return what is as it should be."""
    return Check(check, "ok", message)


def skipped(check: str, message: str) -> Check:
    """Return what was not looked at, and why."""
    return Check(check, "skipped", message)


def warning(check: str, message: str, hint: str | None = None) -> Check:
    """Return what may become a problem."""
    return Check(check, "warning", message, hint)


def error(check: str, message: str, hint: str | None = None, *, exit_code: int = 1) -> Check:
    """Return what keeps commands from working."""
    return Check(check, "error", message, hint, exit_code)
