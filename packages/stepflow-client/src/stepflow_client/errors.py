"""All errors that this package raises.

    StepflowClientError
    ├── TransportError               no usable response arrived
    │   ├── ServerConnectionError    the server could not be reached, or the connection broke (also a ConnectionError)
    │   ├── RequestTimeoutError      no response in time (also a TimeoutError)
    │   └── InvalidResponseError     the response is not one that a Stepflow server sends
    ├── ApiError                     the server responded with an error
    │   ├── InvalidRequestError      400, 405, 413, 415, 422: the request itself is wrong
    │   ├── AuthenticationError      401, 403, 407
    │   ├── NotFoundError            404, 410: no such flow, run, step or blob
    │   ├── ConflictError            409, 412: not in the state that the request requires
    │   ├── RateLimitError           429
    │   ├── ServerFaultError         5xx
    │   └── InvalidFlowError         the server refuses the flow; see `diagnostics`
    ├── ClientClosedError            the client was closed before the call (also a RuntimeError)
    ├── UnsupportedByServerError     this release of the server does not support it
    ├── InvalidArgumentError         an argument is invalid (also a ValueError)
    ├── IdempotencyConflictError     the idempotency key stands for a call with other arguments; see `run_id`
    ├── JournalError                 the journal given to `map` cannot be used, or no longer be written
    ├── FlowFileError                a flow, input or configuration file cannot be read
    │   ├── FlowFileNotFoundError    there is no such file (also a FileNotFoundError)
    │   ├── NotAFlowError            the file contains something else than a flow (also an InvalidArgumentError)
    │   └── AuthoringError           the function of a flow in Python is wrong (also a TypeError)
    ├── RunFailedError               the run ended without success
    ├── OutputTypeError              the run succeeded, but its output does not match the `output_type`
    ├── RunTimeoutError              the wait ended before the run did; the run continues (also a TimeoutError)
    ├── AmbiguousRunError            a run may or may not have been created; see `candidates`
    └── EmbeddedServerError          an error of the embedded server
        ├── ServerNotInstalledError  its binary is not installed (also a FileNotFoundError)
        └── ServerStartError         it did not start, or it ended; see `exit_code` and `log_tail`
            └── ServerStartTimeoutError  it was not ready in time (also a TimeoutError)

Every error is picklable. Its `str()` is one sentence, followed by a hint on what to do if there is one. Notebooks and
IPython show the line of the user's code, the message and the hint; `%tb` shows the whole traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base.basic_errors import (
    AmbiguousRunError,
    ApiError,
    AuthenticationError,
    AuthoringError,
    ClientClosedError,
    ConflictError,
    EmbeddedServerError,
    FlowFileError,
    FlowFileNotFoundError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidRequestError,
    InvalidResponseError,
    JournalError,
    NotAFlowError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    RunTimeoutError,
    ServerConnectionError,
    ServerFaultError,
    ServerNotInstalledError,
    ServerStartError,
    ServerStartTimeoutError,
    StepflowClientError,
    TransportError,
    UnsupportedByServerError,
)
from ._base.lazy import lazy_names

if TYPE_CHECKING:
    from .types.flows import InvalidFlowError
    from .types.results import OutputTypeError, RunFailedError

__all__ = [
    "AmbiguousRunError",
    "ApiError",
    "AuthenticationError",
    "AuthoringError",
    "ClientClosedError",
    "ConflictError",
    "EmbeddedServerError",
    "FlowFileError",
    "FlowFileNotFoundError",
    "IdempotencyConflictError",
    "InvalidArgumentError",
    "InvalidFlowError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JournalError",
    "NotAFlowError",
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

__getattr__, __dir__ = lazy_names(
    __name__, {".types.flows": ["InvalidFlowError"], ".types.results": ["OutputTypeError", "RunFailedError"]}
)
