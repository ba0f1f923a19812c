"""The errors that need no types of this package. `stepflow_client.errors` exports all errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ENOENT
from typing import TYPE_CHECKING, Any

from .lazy import lazy_module

if TYPE_CHECKING:
    from uuid import UUID


# Looked up by name, because this is a lower layer.
_short_traceback = lazy_module("stepflow_client._display.short_traceback")


class StepflowClientError(Exception):
    """The base class of all errors that this package raises.

    Args:
        message: One sentence that says what went wrong.
        status_code: The HTTP status, if the server responded.
        details: The content of the server's response: decoded JSON, or text. None if there is none.
        run_id: The id of the run concerned, if there is one. A run whose id is known continues without the client.
        hint: What to do about the error; shown after the message.

    Attributes:
        attempts: A description of each attempt, if a request was sent more than once.
        is_retryable: Whether the same call may soon succeed. If `run_id` is set, the run exists: wait for it, or read
            it, instead of starting it again.
        retry_after: Seconds to wait before the next request, if the server, or a proxy in front of it, says so.
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
        """Store the parts of the error; only the message is required."""
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
        # Called by IPython.
        lines: list[str] = _short_traceback.render_error(self)
        return lines

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with `args` alone and lose keyword-only arguments.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[StepflowClientError], args: tuple[Any, ...], state: dict[str, Any]) -> StepflowClientError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(StepflowClientError):
    """No usable response arrived."""

    is_retryable = True

    was_sent: bool = True
    """False if the server certainly did not receive the request."""


class ServerConnectionError(TransportError, ConnectionError):
    """The server could not be reached, or the connection broke before a response arrived. Also a ConnectionError."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No response arrived in time. Also a TimeoutError. If a run had been created, `run_id` is its id."""


class InvalidResponseError(TransportError):
    """A response arrived, but not one that a Stepflow server sends."""

    is_retryable = False


class ApiError(StepflowClientError):
    """The server understood the request and refused it. `status_code` is always set."""


class InvalidRequestError(ApiError):
    """The request itself is wrong (400, 405, 413, 415, 422)."""


class AuthenticationError(ApiError):
    """The server, or a proxy in front of it, requires credentials or refuses the given ones (401, 403, 407)."""


class NotFoundError(ApiError):
    """There is no such flow, run, step or blob (404, 410)."""


class ConflictError(ApiError):
    """The object of the request is not in the state that the request requires (409, 412)."""


class RateLimitError(ApiError):
    """Too many requests were sent (429)."""

    is_retryable = True


class ServerFaultError(ApiError):
    """The server, or a proxy in front of it, failed (5xx)."""

    is_retryable = True


class ClientClosedError(StepflowClientError, RuntimeError):
    """The client was closed before the call. Also a RuntimeError."""


class UnsupportedByServerError(StepflowClientError):
    """This release of the server does not support the operation; the hint names one that does, if there is one."""


class InvalidArgumentError(StepflowClientError, ValueError):
    """An argument is invalid. Nothing was sent, unless it had to be compared with what the server has."""


class IdempotencyConflictError(StepflowClientError):
    """The idempotency key stands for a call with another input, other variables or other overrides.

    `run_id` is the id of its run, if that is known.
    """


class JournalError(StepflowClientError):
    """The journal of a batch cannot be used.

    It is damaged, of another batch, in use by another batch, or it cannot be read or written.

    If it can no longer be written while the batch runs, the hint says so; the same call then continues the batch.
    """


class FlowFileError(StepflowClientError):
    """A flow, input or configuration file cannot be read.

    Attributes:
        path: The path of the file; None for text that is not from a file.
        line: The line, from 1; None if unknown.
        column: The column, from 1; None if unknown.
    """

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        """Store the message and the position of the fault."""
        super().__init__(message)
        self.path = path
        self.line = line
        self.column = column


class FlowFileNotFoundError(FlowFileError, FileNotFoundError):
    """There is no such flow, input or configuration file. Also a FileNotFoundError, with its `filename`."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)

    @property
    def filename(self) -> str | None:
        """The same as `path`."""
        return self.path


class NotAFlowError(FlowFileError, InvalidArgumentError):
    """The file contains something else than a flow. Also an InvalidArgumentError, as for such a flow without a file."""


class AuthoringError(FlowFileError, TypeError):
    """The function of a flow in Python does what a flow cannot do. Also a TypeError.

    It is raised where this is written; `path`, `line` and `column` are that position.
    """

    def __init__(self, message: str, *, hint: str | None = None, **place: Any) -> None:
        """Store the message, what to use instead, and the position."""
        super().__init__(message, **place)
        self.hint = hint


class RunTimeoutError(StepflowClientError, TimeoutError):
    """The wait ended before the run did. Also a TimeoutError. The run continues; `run_id` is its id."""


class AmbiguousRunError(StepflowClientError):
    """A run may or may not have been created, and the client cannot tell which run is its own.

    Attributes:
        candidates: Ids of the runs that might be the one just created; empty if there are none.
    """

    def __init__(self, message: str, *, candidates: Sequence[UUID | str] = (), **more: Any) -> None:
        """Store the message and the candidates."""
        super().__init__(message, **more)
        self.candidates = [str(candidate) for candidate in candidates]


class EmbeddedServerError(StepflowClientError):
    """An error of the embedded server."""


class ServerNotInstalledError(EmbeddedServerError, FileNotFoundError):
    """The server's binary, or something it requires, is not installed; the hint says what to install."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)


class ServerStartError(EmbeddedServerError):
    """The embedded server did not start, or it ended.

    Attributes:
        exit_code: The exit code of the process; negative for a signal, None if the process did not end.
        log_tail: The last lines of the server's log.
    """

    def __init__(
        self, message: str, *, exit_code: int | None = None, log_tail: Sequence[str] = (), **more: Any
    ) -> None:
        """Store the message, the exit code and the last lines of the log."""
        super().__init__(message, **more)
        self.exit_code = exit_code
        self.log_tail = list(log_tail)


class ServerStartTimeoutError(ServerStartError, TimeoutError):
    """The embedded server was not ready within its startup timeout; `exit_code` is None if it was still running."""


for _each in list(globals().values()):
    if isinstance(_each, type) and issubclass(_each, StepflowClientError):
        _each.__module__ = "stepflow_client.errors"
