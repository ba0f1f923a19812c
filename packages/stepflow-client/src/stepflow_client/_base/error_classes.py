"""Errors that don't need any other types from this package. `stepflow_client.errors` exports all errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ENOENT
from typing import TYPE_CHECKING, Any

from .lazy import lazy_module

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "AmbiguousRunError", "ApiError", "AuthenticationError", "AuthoringError", "ClientClosedError", "ConflictError",
    "EmbeddedServerError", "FlowFileError", "FlowFileNotFoundError", "IdempotencyConflictError",
    "InvalidArgumentError", "InvalidRequestError", "InvalidResponseError", "JournalError", "NotAFlowError",
    "NotFoundError", "RateLimitError", "RequestTimeoutError", "RunTimeoutError", "ServerConnectionError",
    "ServerFaultError", "ServerNotInstalledError", "ServerStartError", "ServerStartTimeoutError",
    "StepflowClientError", "TransportError", "UnsupportedByServerError",
]  # fmt: skip

# Import by name, because this module is in a layer below `_display`.
_short_traceback = lazy_module("stepflow_client._display.short_traceback")


class StepflowClientError(Exception):
    """Base class for all errors raised by this package.

    Args:
        message: A one-sentence description of the problem.
        status_code: The HTTP status, if the server responded.
        details: The server's response as decoded JSON or text. None if there was no response.
        run_id: The ID of the affected run, if any. If the run hasn't ended, it continues without the client.
        hint: What to do about the error. It's shown after the message.

    Attributes:
        attempts: A description of each attempt to send the request.
        is_retryable: Whether a retry may succeed soon. If `run_id` is set, the run already exists, so wait for it or
            read it instead of starting it again.
        retry_after: How many seconds to wait before the next request, if the server or a proxy asked for a delay.
    """

    attempts: Sequence[str] = ()
    is_retryable: bool = False
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        details: Any = None,
        run_id: UUID | str | None = None,
        hint: str | None = None,
    ) -> None:
        """Store the error's parts. Only the message is required."""
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.details = details
        self.run_id: str | None = None if run_id is None else str(run_id)
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, followed by the hint if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        # IPython's hook for custom tracebacks.
        lines: list[str] = _short_traceback.render_short_traceback(self)
        return lines

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, Python would call the class with just `args`, dropping the keyword-only arguments.
        return type(self).__new__, (type(self),), {**self.__dict__, "args": self.args}


class TransportError(StepflowClientError):
    """No usable response arrived."""

    is_retryable = True

    was_sent: bool = True
    """False if the server definitely didn't receive the request."""


class ServerConnectionError(TransportError, ConnectionError):
    """Could not connect, or the connection dropped before a response arrived. Also a ConnectionError."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No response arrived in time. Also a TimeoutError. If a run was created anyway, `run_id` is its ID."""


class InvalidResponseError(TransportError):
    """A response arrived, but not one a Stepflow server would send."""

    is_retryable = False


class ApiError(StepflowClientError):
    """The server responded with an error. `status_code` is always set."""


class InvalidRequestError(ApiError):
    """The request itself is invalid (400, 413, 415, 422, or any 4xx status without a class of its own)."""


class AuthenticationError(ApiError):
    """The server, or a proxy in front of it, requires credentials or rejected them (401, 403, 407)."""


class NotFoundError(ApiError):
    """No such flow, run, step or blob (404, 410)."""


class ConflictError(ApiError):
    """The target is not in the state the request requires (409, 412)."""


class RateLimitError(ApiError):
    """Too many requests (429)."""

    is_retryable = True


class ServerFaultError(ApiError):
    """The server, or a proxy in front of it, failed (5xx)."""

    is_retryable = True


class ClientClosedError(StepflowClientError, RuntimeError):
    """The client is already closed. Also a RuntimeError."""


class UnsupportedByServerError(StepflowClientError):
    """This server release doesn't support the operation. The hint names a release that does, if there is one."""


class InvalidArgumentError(StepflowClientError, ValueError):
    """An argument is invalid. Nothing was sent, unless checking the argument required data from the server."""


class IdempotencyConflictError(StepflowClientError):
    """The idempotency key was already used with a different input, variables or overrides.

    `run_id` is the earlier run's ID, if known.
    """


class JournalError(StepflowClientError):
    """A batch's journal can't be used.

    It's damaged, is in use by another batch, belongs to a different batch, or can't be read or written.

    If a write fails while the batch is running, repeat the call to resume it (the hint says so).
    """


class FlowFileError(StepflowClientError):
    """A flow, input or configuration file can't be read.

    Attributes:
        path: The file's path, or None if the text is not from a file.
        line: The line, starting at 1, or None if unknown.
        column: The column, starting at 1, or None if unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        """Store the message, the position, and a hint about what to do."""
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line
        self.column = column


class FlowFileNotFoundError(FlowFileError, FileNotFoundError):
    """No such flow, input or configuration file. Also a FileNotFoundError, including its `filename`."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)

    @property
    def filename(self) -> str | None:
        """Same as `path`."""
        return self.path


class NotAFlowError(FlowFileError, InvalidArgumentError):
    """The file isn't a flow. Also an InvalidArgumentError, like the error for a bad flow that isn't from a file."""


class AuthoringError(FlowFileError, TypeError):
    """A function that defines a Python flow does something a flow can't express. Also a TypeError.

    `path`, `line` and `column` point to the offending code. The hint says what to use instead.
    """


class RunTimeoutError(StepflowClientError, TimeoutError):
    """The run didn't end in time. Also a TimeoutError. The run, whose ID is `run_id`, continues."""


class AmbiguousRunError(StepflowClientError):
    """A run may or may not have been created, and the client can't tell which run is its own.

    Attributes:
        candidates: The IDs of runs that could be the new one. May be empty.
    """

    def __init__(self, message: str, *, candidates: Sequence[UUID | str] = (), **more: Any) -> None:
        """Store the message and the candidates."""
        super().__init__(message, **more)
        self.candidates = [str(candidate) for candidate in candidates]


class EmbeddedServerError(StepflowClientError):
    """Base class for errors from the embedded server."""


class ServerNotInstalledError(EmbeddedServerError, FileNotFoundError):
    """The server's binary, or something it depends on, isn't installed. The hint says what to install."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)


class ServerStartError(EmbeddedServerError):
    """The embedded server didn't start, or it exited.

    Attributes:
        exit_code: The process's exit code, negative for a signal. None if the process is still running.
        log_tail: The server's last log lines.
    """

    def __init__(
        self, message: str, *, exit_code: int | None = None, log_tail: Sequence[str] = (), **more: Any
    ) -> None:
        """Store the message, the exit code and the last log lines."""
        super().__init__(message, **more)
        self.exit_code = exit_code
        self.log_tail = list(log_tail)


class ServerStartTimeoutError(ServerStartError, TimeoutError):
    """The embedded server wasn't ready before the startup timeout. `exit_code` is None if it was still running then."""


for _each in list(globals().values()):
    if isinstance(_each, type) and issubclass(_each, StepflowClientError):
        _each.__module__ = "stepflow_client.errors"
