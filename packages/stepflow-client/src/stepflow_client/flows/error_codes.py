"""The error codes of failures in flow files: words on servers from 0.12 on, numbers before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import ErrorCode, FlowError
from .matching import compare, is_matcher

__all__ = ["code_matches", "code_word", "error_data"]

_WORDS = {
    "TIMEOUT": ErrorCode.TIMEOUT,
    "INVALID_INPUT": ErrorCode.INVALID_INPUT,
    "COMPONENT_FAILED": ErrorCode.COMPONENT_FAILED,
    "CANCELLED": ErrorCode.CANCELLED,
    "UNREACHABLE": ErrorCode.UNREACHABLE,
    "COMPONENT_NOT_FOUND": ErrorCode.COMPONENT_NOT_FOUND,
    "RESOURCE_UNAVAILABLE": ErrorCode.RESOURCE_UNAVAILABLE,
    "EXPRESSION_FAILURE": ErrorCode.EXPRESSION_FAILED,
    "ORCHESTRATOR_ERROR": ErrorCode.ORCHESTRATOR,
    "WORKER_ERROR": ErrorCode.WORKER,
}
_NUMBERS = dict(enumerate(_WORDS.values(), start=1))


def code_matches(expected: Any, error: FlowError | None) -> bool:
    """Return whether a failure has the code that a flow file expects.

    A word of the file format (`COMPONENT_FAILED`) or of this package (`component_failed`), in upper or lower case,
    works with every release. A number is the server's own code, as before 0.12, or the number of a word. Matchers are
    compared with the word of the file format.
    """
    if error is None or error.code is None:
        return False
    if is_matcher(expected):
        return not compare(expected, code_word(error))
    if isinstance(expected, str):
        return _WORDS.get(expected.upper(), expected.lower()) == error.code
    details = error.details if isinstance(error.details, Mapping) else {}
    own = [details.get(key) for key in ("code", "errorCode")]
    return expected in own or _NUMBERS.get(int(expected)) == error.code


def code_word(error: FlowError) -> str:
    """Return the word that flow files use for the code of a failure; `UNSPECIFIED` if there is none."""
    return next((word for word, code in _WORDS.items() if code == error.code), "UNSPECIFIED")


def error_data(error: FlowError | None) -> Any:
    """Return the data of a failure, which a worker may have added; None if there is none."""
    details = error.details if error and isinstance(error.details, Mapping) else {}
    return details.get("data", details.get("errorData"))
