"""The words of flow files for the codes of errors. Pure."""

from __future__ import annotations

from .._base.text import near
from .._data.arguments import check_text
from ..errors import InvalidArgumentError
from ..types import ErrorCode, FlowError

WORDS = {
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
"""The codes by their words, in the order of their numbers on the wire, which begin with 1."""


def parse_error_code(code: ErrorCode | str) -> ErrorCode:
    """Return the code of a word: of flow files (`COMPONENT_FAILED`) or of this package, in upper or lower case.

    Raises:
        InvalidArgumentError: If there is no such code.
    """
    known = {**WORDS, **{known_code.value.upper(): known_code for known_code in WORDS.values()}}
    word = check_text(code.value if isinstance(code, ErrorCode) else code, "the error code")
    if word.upper() not in known:
        raise InvalidArgumentError(f"there is no error code {word!r}", hint=near(word, WORDS, "the codes"))
    return known[word.upper()]


def get_code_word(error: FlowError) -> str:
    """Return the word for an error's code in flow files; `UNSPECIFIED` without a code."""
    return next((word for word, code in WORDS.items() if code == error.code), "UNSPECIFIED")
