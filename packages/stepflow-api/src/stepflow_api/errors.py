# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""The error responses of the API, and what the functions raise besides httpx's own exceptions."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .models import *

Failure: TypeAlias = "ErrorEnvelope | str"
"""The body of an error response."""


class ResponseError(Exception):
    """The base of these exceptions: a response other than the documented ones."""

    problem = "status {0}"

    def __init__(self, status_code: int, content: bytes, expected: str = "") -> None:
        self.status_code = status_code
        self.content = content
        text = content[:200].decode(errors="replace") + "..." * (len(content) > 200)
        super().__init__(f"{self.problem.format(int(status_code), expected)}: {text or 'an empty body'}")


class ApiError(ResponseError):
    """The response reports an error; only ``Response.unwrap`` and streams raise it."""


class UnexpectedStatus(ResponseError):
    """The status is not documented, and the client has ``raise_on_unexpected_status``."""

    problem = "undocumented status {0}"


class UnexpectedBody(ResponseError):
    """The body is not the documented one for its status: not JSON, or JSON of another shape."""

    problem = "status {0}: expected {1}, received"
