"""Every error this package raises.

    StepflowClientError
    ├── TransportError               no usable response
    │   ├── ServerConnectionError    could not connect, or the connection dropped (also a ConnectionError)
    │   ├── RequestTimeoutError      no response in time (also a TimeoutError)
    │   └── InvalidResponseError     the response doesn't look like a Stepflow server's
    ├── ApiError                     the server responded with an error
    │   ├── InvalidRequestError      400, 405, 413, 415, 422: the request itself is invalid
    │   ├── AuthenticationError      401, 403, 407
    │   ├── NotFoundError            404, 410: no such flow, run, step or blob
    │   ├── ConflictError            409, 412: not in the state the request requires
    │   ├── RateLimitError           429
    │   ├── ServerFaultError         5xx
    │   └── InvalidFlowError         the server rejected the flow; see `diagnostics`
    ├── ClientClosedError            the client is already closed (also a RuntimeError)
    ├── UnsupportedByServerError     not supported by this server release
    ├── InvalidArgumentError         an argument is invalid (also a ValueError)
    ├── IdempotencyConflictError     idempotency key reused with different arguments; see `run_id`
    ├── JournalError                 the journal passed to `map` is unusable or can't be written anymore
    ├── FlowFileError                a flow, input or configuration file can't be read
    │   ├── FlowFileNotFoundError    no such file (also a FileNotFoundError)
    │   ├── NotAFlowError            the file isn't a flow (also an InvalidArgumentError)
    │   └── AuthoringError           the function that defines a Python flow is invalid (also a TypeError)
    ├── RunFailedError               the run ended without success
    ├── OutputTypeError              the run succeeded, but its output doesn't match `output_type`
    ├── RunTimeoutError              gave up waiting; the run continues (also a TimeoutError)
    ├── AmbiguousRunError            a run may or may not have been created; see `candidates`
    └── EmbeddedServerError          the embedded server failed
        ├── ServerNotInstalledError  its binary isn't installed (also a FileNotFoundError)
        └── ServerStartError         it didn't start, or it exited; see `exit_code` and `log_tail`
            └── ServerStartTimeoutError  it wasn't ready in time (also a TimeoutError)

Every error can be pickled. `str()` returns one sentence, plus a hint on what to do if there is one. Notebooks and
IPython show only your line of code, the message and the hint; use `%tb` for the full traceback.
"""

# ruff: noqa: F403, F405 - `error_classes` exports nothing but errors

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base.error_classes import *
from ._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .types.flows import InvalidFlowError
    from .types.results import OutputTypeError, RunFailedError

__all__ = [
    "AmbiguousRunError", "ApiError", "AuthenticationError", "AuthoringError", "ClientClosedError", "ConflictError",
    "EmbeddedServerError", "FlowFileError", "FlowFileNotFoundError", "IdempotencyConflictError",
    "InvalidArgumentError", "InvalidFlowError", "InvalidRequestError", "InvalidResponseError", "JournalError",
    "NotAFlowError", "NotFoundError", "OutputTypeError", "RateLimitError", "RequestTimeoutError", "RunFailedError",
    "RunTimeoutError", "ServerConnectionError", "ServerFaultError", "ServerNotInstalledError", "ServerStartError",
    "ServerStartTimeoutError", "StepflowClientError", "TransportError", "UnsupportedByServerError",
]  # fmt: skip

__getattr__, __dir__ = make_lazy_exports(
    __name__, {".types.flows": ["InvalidFlowError"], ".types.results": ["OutputTypeError", "RunFailedError"]}
)
