"""The checks that `stepflow doctor` runs on the environment, the connection and the server itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CheckResult:
    """The result of a single check."""

    check: str
    """The check's name."""
    status: Literal["ok", "warning", "error", "skipped"]
    message: str
    """A sentence that says what was found."""
    hint: str | None = None
    """How to fix it."""
    exit_code: int = 1
    """The exit code for an error: 4 if there is no server or it rejects the credentials, 2 if a setting is invalid."""


def ok(check: str, message: str) -> CheckResult:
    """Return the result of a passed check."""
    return CheckResult(check, "ok", message)


def skipped(check: str, message: str) -> CheckResult:
    """Return the result of a skipped check. The message says why it was skipped."""
    return CheckResult(check, "skipped", message)


def warning(check: str, message: str, hint: str | None = None) -> CheckResult:
    """Return a result for a problem that may cause trouble later."""
    return CheckResult(check, "warning", message, hint)


def error(check: str, message: str, hint: str | None = None, *, exit_code: int = 1) -> CheckResult:
    """Return a result for a problem that keeps commands from working."""
    return CheckResult(check, "error", message, hint, exit_code)
