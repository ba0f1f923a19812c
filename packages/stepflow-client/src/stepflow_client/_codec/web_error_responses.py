"""Error responses for web applications (RFC 9457)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .. import errors
from ..errors import StepflowClientError

_INVALID_INPUT_ERRORS = (errors.InvalidArgumentError, errors.IdempotencyConflictError, errors.InvalidRequestError)
_RESPONSES: tuple[tuple[type[StepflowClientError] | tuple[type[StepflowClientError], ...], HTTPStatus, str], ...] = (
    # The first matching class wins. If an error isn't the caller's fault, a fixed sentence is shown instead of its
    # message, which may contain internal addresses and file names.
    (errors.FlowFileError, HTTPStatus.INTERNAL_SERVER_ERROR, "The workflow cannot be read."),
    (_INVALID_INPUT_ERRORS, HTTPStatus.UNPROCESSABLE_ENTITY, ""),
    (errors.NotFoundError, HTTPStatus.NOT_FOUND, ""),
    (errors.ConflictError, HTTPStatus.CONFLICT, ""),
    (errors.RateLimitError, HTTPStatus.TOO_MANY_REQUESTS, "The workflow server is receiving too many requests."),
    (errors.RunFailedError, HTTPStatus.BAD_GATEWAY, ""),
    (errors.OutputTypeError, HTTPStatus.BAD_GATEWAY, "The run's output has an unexpected format."),
    (errors.RunTimeoutError, HTTPStatus.GATEWAY_TIMEOUT, "The run has not ended yet; it continues."),
    (errors.RequestTimeoutError, HTTPStatus.GATEWAY_TIMEOUT, "The workflow server did not respond in time."),
    (errors.ServerConnectionError, HTTPStatus.SERVICE_UNAVAILABLE, "The workflow server cannot be reached."),
    (errors.ClientClosedError, HTTPStatus.SERVICE_UNAVAILABLE, "The application is shutting down."),
    (errors.EmbeddedServerError, HTTPStatus.SERVICE_UNAVAILABLE, "The workflow server is not available."),
    (errors.AmbiguousRunError, HTTPStatus.SERVICE_UNAVAILABLE, "It is not known whether the run was created."),
    (errors.UnsupportedByServerError, HTTPStatus.NOT_IMPLEMENTED, "The workflow server does not support this."),
    (errors.InvalidFlowError, HTTPStatus.INTERNAL_SERVER_ERROR, "The workflow is not valid."),
    (errors.JournalError, HTTPStatus.INTERNAL_SERVER_ERROR, "The batch cannot be recorded."),
    (StepflowClientError, HTTPStatus.BAD_GATEWAY, "The workflow server failed."),
)


@dataclass(frozen=True)
class Problem:
    """A web application's response to an error, as returned by `problem_details`."""

    status: int
    headers: dict[str, str]
    """The headers: `content-type`, `cache-control` and, if the delay is known, `retry-after` (in whole seconds)."""
    body: dict[str, Any]
    """The body to send as JSON. Contains the RFC 9457 members `type`, `title`, `status` and `detail`, plus `error` (the
    kind of error, e.g. `run_failed`), `retryable` and, if known, `run_id`, `step_id` and `code`."""


def problem_details(
    error: StepflowClientError,
    *,
    statuses: Mapping[type[StepflowClientError], int] | None = None,
    type_base: str | None = None,
) -> Problem:
    """Return the status, headers and body (RFC 9457) for a web application's response to an error.

    If the error is about the caller's request or run, the detail is its message. For any other error, the detail is a
    generic sentence without addresses, file names or hints, so make sure to log the error itself.

    | status | errors |
    |---|---|
    | 404 | NotFoundError |
    | 409 | ConflictError; RunFailedError if the run was cancelled |
    | 422 | InvalidArgumentError, InvalidRequestError, IdempotencyConflictError |
    | 429 | RateLimitError |
    | 500 | InvalidFlowError, FlowFileError, JournalError (the application is at fault) |
    | 501 | UnsupportedByServerError |
    | 502 | RunFailedError, OutputTypeError, AuthenticationError (the application's credentials), any other error |
    | 503 | ServerConnectionError, ClientClosedError, EmbeddedServerError, AmbiguousRunError |
    | 504 | RequestTimeoutError; RunTimeoutError (the run continues) |

    Args:
        error: The error.
        statuses: Statuses that override the table, by error class. The most specific class wins. If its status is below
            500, the detail is the error's message.
        type_base: A URL to prepend to the error kind for `type`. For example, `https://example.org/errors/` results in
            `https://example.org/errors/run_failed`. Defaults to None, in which case the type is `about:blank`.

    Raises:
        InvalidArgumentError: If `error` isn't one of this package's errors.
    """
    if not isinstance(error, StepflowClientError):
        raise errors.InvalidArgumentError(f"error must be a StepflowClientError, not {type(error).__name__}")
    standard, sentence = next((status, text) for kind, status, text in _RESPONSES if isinstance(error, kind))
    result = error.result if isinstance(error, errors.RunFailedError) else None
    if result is not None and result.is_cancelled:
        standard = HTTPStatus.CONFLICT
    chosen = next((statuses[kind] for kind in type(error).__mro__ if kind in statuses), None) if statuses else None
    status = HTTPStatus(standard if chosen is None else chosen)
    if chosen is not None and chosen < HTTPStatus.INTERNAL_SERVER_ERROR:
        sentence = ""
    # The kind is the class name in snake case. If the application defines its own subclass, use our base class.
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Error")).lower()
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    body: dict[str, Any] = {
        "type": f"{type_base}{kind}" if type_base else "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": sentence or error.message,
        "error": kind,
        "retryable": error.is_retryable,
    }
    if error.run_id is not None:
        body["run_id"] = error.run_id
    if result is not None and result.error is not None:
        details = {"step_id": result.error.step_id, "code": result.error.code}
        body |= {name: str(value) for name, value in details.items() if value is not None}
    return Problem(int(status), headers, body)
