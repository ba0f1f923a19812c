"""Every error that leaves this package.

    StepflowClientError
    ├── TransportError               no usable response arrived
    │   ├── ServerConnectionError    the server could not be reached, or the connection broke
    │   ├── RequestTimeoutError      no response in time
    │   └── InvalidResponseError     something answered, but not as a Stepflow server does
    ├── ApiError                     the server responded with an error
    │   ├── InvalidRequestError      400, 405, 413, 415, 422: the request itself is wrong
    │   ├── AuthenticationError      401, 403, 407
    │   ├── NotFoundError            404, 410: no such flow, run, step or blob
    │   ├── ConflictError            409, 412: not in the state the request needs
    │   ├── RateLimitError           429
    │   └── ServerFaultError         5xx
    ├── UnsupportedByServerError     this release of the server cannot do it
    ├── InvalidArgumentError         an argument is wrong; nothing was sent (a ValueError too)
    ├── FlowFileError                a flow, input or configuration file cannot be read
    │   └── FlowFileNotFoundError    there is no such file (a FileNotFoundError too)
    ├── InvalidFlowError             the server refuses the flow; see `diagnostics`
    ├── RunFailedError               the run ended, but not in success
    ├── OutputTypeError              the run succeeded, but its output does not fit the `output_type`
    ├── RunTimeoutError              the wait ended before the run did; the run goes on (a TimeoutError too)
    ├── AmbiguousRunError            a run may or may not have been created; see `candidates`
    └── EmbeddedServerError          the embedded server
        ├── ServerNotInstalledError  its binary is not installed (a FileNotFoundError too)
        └── ServerStartError         it did not start, or it ended; see `exit_code` and `log_tail`
            └── ServerStartTimeoutError  it was not ready in time (a TimeoutError too)

Every error is picklable and `str()` of it is one sentence, with a hint of what to do where there is one. Notebooks and
IPython show the line of the user's code, the message and the hint; `%tb` shows the whole traceback.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ENOENT
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from .types import Diagnostic, FlowResult

__all__ = [
    "AmbiguousRunError",
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "EmbeddedServerError",
    "FlowFileError",
    "FlowFileNotFoundError",
    "InvalidArgumentError",
    "InvalidFlowError",
    "InvalidRequestError",
    "InvalidResponseError",
    "NotFoundError",
    "OutputTypeError",
    "RateLimitError",
    "RequestTimeoutError",
    "RunFailedError",
    "RunTimeoutError",
    "ServerConnectionError",
    "ServerFaultError",
    "ServerNotInstalledError",
    "ServerStartError",
    "ServerStartTimeoutError",
    "StepflowClientError",
    "TransportError",
    "UnsupportedByServerError",
]


class StepflowClientError(Exception):
    """The root of every error that leaves this package.

    Args:
        message: One sentence that says what went wrong.
        status_code: The HTTP status, if the server responded.
        details: What the server said: decoded JSON, or text. None where nothing was said.
        run_id: The run concerned, where there is one. A run whose id is known goes on without the client.
        hint: What to do about it; shown behind the message.

    Attributes:
        attempts: What came of each attempt, where a request was sent more than once.
    """

    attempts: Sequence[str] = ()

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        details: Any = None,
        run_id: UUID | str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the parts; all of them are optional but the message."""
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.details = details
        self.run_id: str | None = None if run_id is None else str(run_id)
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and the hint."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this.
        from ._display.short_traceback import rendered

        return rendered(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with `args` alone and lose what is keyword-only.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[StepflowClientError], args: tuple[Any, ...], state: dict[str, Any]) -> StepflowClientError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(StepflowClientError):
    """No usable response arrived."""

    was_sent: bool = True
    """False where it is certain that the server did not get the request."""


class ServerConnectionError(TransportError):
    """The server could not be reached, or the connection broke before a response came."""


class RequestTimeoutError(TransportError):
    """No response arrived in time. Where a run had been created, `run_id` names it."""


class InvalidResponseError(TransportError):
    """Something answered, but not in the way a Stepflow server does."""


class ApiError(StepflowClientError):
    """The server understood the request and refused it. `status_code` is always set."""

    retry_after: float | None = None
    """Seconds after which the server, or a proxy before it, wants to be asked again, where it says so."""


class InvalidRequestError(ApiError):
    """The server finds the request itself wrong (400, 405, 413, 415, 422)."""


class AuthenticationError(ApiError):
    """The server, or a proxy before it, wants credentials or refuses them (401, 403, 407)."""


class NotFoundError(ApiError):
    """There is no such flow, run, step or blob (404, 410)."""


class ConflictError(ApiError):
    """What the request concerns is not in the state it needs (409, 412)."""


class RateLimitError(ApiError):
    """Too many requests (429)."""


class ServerFaultError(ApiError):
    """The server, or a proxy before it, failed (5xx)."""


class UnsupportedByServerError(StepflowClientError):
    """This release of the server cannot do what was asked; the hint names the release that can, if there is one."""


class InvalidArgumentError(StepflowClientError, ValueError):
    """An argument is wrong. Nothing was sent."""


class FlowFileError(StepflowClientError):
    """A flow, input or configuration file cannot be read.

    Attributes:
        path: The file, or None for text that came from elsewhere.
        line: The line, from 1, where known.
        column: The column, from 1, where known.
    """

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        """Keep where the fault is."""
        super().__init__(message)
        self.path = path
        self.line = line
        self.column = column


class FlowFileNotFoundError(FlowFileError, FileNotFoundError):
    """There is no such flow, input or configuration file. A FileNotFoundError too: `filename` is its name."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)

    @property
    def filename(self) -> str | None:
        """The same as `path`."""
        return self.path


class InvalidFlowError(StepflowClientError):
    """The server refuses the flow.

    Attributes:
        diagnostics: What the server found, fatal findings first.
    """

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic] = (), **more: Any) -> None:
        """Keep the findings."""
        super().__init__(message, **more)
        self.diagnostics = list(diagnostics)


class RunFailedError(StepflowClientError):
    """A run ended, but not in success.

    Attributes:
        result: The result that is not a success.
    """

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Keep the result."""
        super().__init__(message, **more)
        self.result = result


class OutputTypeError(StepflowClientError):
    """A run succeeded, but its output does not fit the `output_type`.

    `details` lists the `path` and the `message` of each fault.

    Attributes:
        result: The result, with the output as JSON.
    """

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Keep the result."""
        super().__init__(message, **more)
        self.result = result


class RunTimeoutError(StepflowClientError, TimeoutError):
    """The wait ended before the run did. The run goes on; `run_id` names it."""


class AmbiguousRunError(StepflowClientError):
    """A run may or may not have been created, and the client cannot tell which one is its own.

    Attributes:
        candidates: Ids of the runs that may be the one asked for; empty if none was seen.
    """

    def __init__(self, message: str, *, candidates: Sequence[UUID | str] = (), **more: Any) -> None:
        """Keep the candidates."""
        super().__init__(message, **more)
        self.candidates = [str(candidate) for candidate in candidates]


class EmbeddedServerError(StepflowClientError):
    """Something is wrong with the embedded server."""


class ServerNotInstalledError(EmbeddedServerError, FileNotFoundError):
    """The server's binary, or what is needed to run it, is not installed; the hint says what to install."""

    errno = ENOENT
    strerror = os.strerror(ENOENT)


class ServerStartError(EmbeddedServerError):
    """The embedded server did not start, or it ended.

    Attributes:
        exit_code: The exit code of the process; negative for a signal, None if it did not end.
        log_tail: The last lines the server wrote.
    """

    def __init__(
        self, message: str, *, exit_code: int | None = None, log_tail: Sequence[str] = (), **more: Any
    ) -> None:
        """Keep the exit code and the last lines."""
        super().__init__(message, **more)
        self.exit_code = exit_code
        self.log_tail = list(log_tail)


class ServerStartTimeoutError(ServerStartError, TimeoutError):
    """The embedded server was not ready within its startup timeout; `exit_code` is None if it was still running."""
