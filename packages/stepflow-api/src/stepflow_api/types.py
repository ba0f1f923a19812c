# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Types that all operations share."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import IO, Any, BinaryIO, Generic, Literal, TypeVar, cast

from .errors import ApiError, Failure, UnexpectedBody

T = TypeVar("T")
_WRONG_BODY = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Unset:
    """The type of UNSET."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        # Copies and unpickled values must be UNSET itself, with which the models compare.
        return "UNSET"


UNSET: Unset = Unset()
"""A missing property; JSON's null is ``None``."""

# What httpx takes as a file.
FileContent = IO[bytes] | bytes | str
FileTypes = (
    tuple[str | None, FileContent, str | None] | tuple[str | None, FileContent, str | None, Mapping[str, str]]
)
RequestFiles = list[tuple[str, FileTypes]]


@dataclass(slots=True)
class File:
    """Raw bytes to send."""

    payload: BinaryIO | bytes
    """The bytes, or an open file that yields them."""
    file_name: str | None = None
    """The name for multipart forms."""
    mime_type: str | None = None
    """The content type for multipart forms."""

    def read(self) -> bytes:
        """Return the bytes: async clients cannot send an open file, and retries need the same bytes again."""
        return self.payload if isinstance(self.payload, bytes) else self.payload.read()

    def to_tuple(self) -> FileTypes:
        """Return the form that httpx takes for multipart forms."""
        return self.file_name, self.payload, self.mime_type


class OpenEnum(Enum):
    """The base of enums. A value that is not listed, from a newer server, becomes a member.

    ``RunStatus(99)`` equals 99, and its name is ``UNKNOWN_99``; that of a string is ``UNKNOWN``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Any:
        kind: Any = int if issubclass(cls, int) else str
        if not isinstance(value, kind):
            return None
        member = kind.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}".replace("-", "NEGATIVE_") if kind is int else "UNKNOWN"
        member._value_ = value
        # Kept, so that equal values are one member.
        return _unlisted.setdefault((cls, value), member)


_unlisted: dict[tuple[type[OpenEnum], Any], Any] = {}


class Response(Generic[T]):
    """A response. T is the type of its body if the status is 2xx."""

    def __init__(
        self,
        *,
        status_code: int,
        content: bytes,
        headers: MutableMapping[str, str],
        parse: Callable[[], T | Failure | None],
        expected: str,
        is_strict: bool,
    ) -> None:
        from http import HTTPStatus

        self.status_code: int = next((each for each in HTTPStatus if each == status_code), status_code)
        """The HTTP status; an ``http.HTTPStatus`` if Python knows the number, else a plain int."""
        self.content = content
        """The body as it came."""
        self.headers = headers
        """The headers; names are case-insensitive."""
        self._parse = parse
        self._expected = expected if status_code < 300 else "an error response"
        if is_strict:
            with suppress(UnexpectedBody):
                _ = self.parsed

    @cached_property
    def parsed(self) -> T | Failure | None:
        """The body as the type that is documented for the status; None if the status is not documented.

        Parsed on first access, so a body that cannot be parsed leaves the status and the content readable.

        Raises:
            UnexpectedBody: If the body is not the documented one.
        """
        try:
            return self._parse()
        except _WRONG_BODY as error:
            raise UnexpectedBody(self.status_code, self.content, self._expected) from error

    def unwrap(self) -> T:
        """Return the body of a successful response.

        Raises:
            ApiError: If the status is not 2xx, or not documented.
            UnexpectedBody: If the body is not the documented one.
        """
        if not 200 <= self.status_code < 300 or self.parsed is None:
            raise ApiError(self.status_code, self.content)
        return cast(T, self.parsed)

    def __repr__(self) -> str:
        return f"<Response [{int(self.status_code)}]>"


class EventReader(Generic[T]):
    """Parses server-sent events, each of which is one ``data:`` line with JSON."""

    def __init__(self, model: type[T]) -> None:
        self._model: Any = model
        self._line = bytearray()

    def feed(self, chunk: bytes) -> Iterator[T]:
        """Yield the events that the chunk completes.

        Raises:
            UnexpectedBody: If an event is not the documented one.
        """
        import json

        first, *rest = chunk.split(b"\n")
        self._line += first
        for start in rest:
            line, self._line = bytes(self._line), bytearray(start)
            if line.startswith(b"data:"):
                try:
                    event = self._model.from_dict(json.loads(line[5:]))
                except _WRONG_BODY as error:
                    raise UnexpectedBody(200, line, self._model.__name__) from error
                yield event


__all__ = ["UNSET", "EventReader", "File", "FileTypes", "OpenEnum", "RequestFiles", "Response", "Unset"]
