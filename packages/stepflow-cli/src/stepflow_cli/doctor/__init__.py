"""The checks behind `stepflow doctor`, covering the environment, the connection and the server itself."""

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
    """The finding, in one sentence."""
    hint: str | None = None
    """How to fix it."""
    exit_code: int = 1
    """The exit code on error: 4 if there is no server or it rejects the credentials."""


def ok(check: str, message: str) -> CheckResult:
    """The check passed."""
    return CheckResult(check, "ok", message)


def skipped(check: str, message: str) -> CheckResult:
    """The check wasn't made. The message says why not."""
    return CheckResult(check, "skipped", message)


def warning(check: str, message: str, hint: str | None = None) -> CheckResult:
    """The check found something that could cause trouble."""
    return CheckResult(check, "warning", message, hint)


def error(check: str, message: str, hint: str | None = None, *, exit_code: int = 1) -> CheckResult:
    """The check found something that keeps commands from working."""
    return CheckResult(check, "error", message, hint, exit_code)
