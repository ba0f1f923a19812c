"""Reads the JSON in the body of a response; an unexpected shape raises an InvalidResponseError. Pure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

from .. import errors
from .._base.collector import collector_paused
from .._base.text import cut
from .._data.values import decode
from .._rules.server_advice import ANOTHER_SERVICE
from .status_errors import clean_line

Answer = TypeVar("Answer")

# Size in bytes above which a response counts as large.
_LARGE = 32 * 1024


def parse_object(content: bytes, request: object, decode: Callable[[bytes], Any] = decode) -> dict[str, Any]:
    """Return the JSON object in the body of a response.

    Args:
        content: The body.
        request: The request, for errors.
        decode: How to parse the body: `decode_raw` if its parts are converted later.

    Raises:
        InvalidResponseError: If the body is not a JSON object.
    """
    # Small responses skip `parse_json_value`: this is the hot path.
    try:
        decoded = decode(content) if len(content) <= _LARGE else parse_json_value(content, request, decode)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise _not_json_error(content, request)
    return decoded


def parse_json_value(content: bytes, request: object, decode: Callable[[bytes], Any] = decode) -> Any:
    """Return the JSON value in the body of a response.

    Raises:
        InvalidResponseError: If the body is not JSON.
    """
    try:
        with collector_paused() if len(content) > _LARGE else nullcontext():
            return decode(content)
    except (ValueError, RecursionError):
        raise _not_json_error(content, request) from None


def _not_json_error(content: bytes, request: object) -> errors.InvalidResponseError:
    start = clean_line(content[:400].decode("utf-8", "replace")) or "an empty body"
    start = cut(start, 80)
    return errors.InvalidResponseError(
        f"{request} returned something other than a JSON object: {start}",
        hint=ANOTHER_SERVICE,
    )


def build(make: Callable[[dict[str, Any]], Answer], answer: dict[str, Any], request: object) -> Answer:
    """Return the value that `make` builds from a response.

    Raises:
        InvalidResponseError: If a required field of the response is missing or has the wrong type.
    """
    try:
        return make(answer)
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        reason = str(error)
    raise errors.InvalidResponseError(
        f"{request} returned a response of an unknown shape: {clean_line(reason)}",
        details=answer,
        hint="the server may be of a newer release",
    )
