# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Types that all operations share."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import IO, BinaryIO, Generic, Literal, TypeVar

from .errors import UnexpectedBody


class Unset:
    """The type of UNSET."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        # Copied and unpickled it must stay the one object that the models compare with.
        return "UNSET"


UNSET: Unset = Unset()
"""Stands for "not there", which JSON's null (``None``) is not."""

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
        """Give the bytes; an open file is read to its end.

        Async clients cannot send an open file, and a request can be repeated only if its body can.
        """
        return self.payload if isinstance(self.payload, bytes) else self.payload.read()

    def to_tuple(self) -> FileTypes:
        """Give the form that httpx takes for multipart forms."""
        return self.file_name, self.payload, self.mime_type


T = TypeVar("T")


class Response(Generic[T]):
    """What the server answered."""

    def __init__(
        self,
        *,
        status_code: int,
        content: bytes,
        headers: MutableMapping[str, str],
        parse: Callable[[], T | None],
    ) -> None:
        self.status_code = _status(status_code)
        """The HTTP status; an ``http.HTTPStatus`` if Python knows the number, else a plain int."""
        self.content = content
        """The body as it came."""
        self.headers = headers
        """The headers; names are case-insensitive."""
        self._parse: Callable[[], T | None] | None = parse
        self._parsed: T | None = None

    @property
    def parsed(self) -> T | None:
        """The body as the type that is documented for the status; None if the status is not documented.

        Worked out when first asked for, so it costs nothing until then, and a body that cannot be parsed
        leaves the status and the content usable.

        Raises:
            UnexpectedBody: If the body is not what is documented for the status.
        """
        if (parse := self._parse) is not None:
            try:
                self._parsed = parse()
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise UnexpectedBody(self.status_code, self.content) from error
            self._parse = None
        return self._parsed

    def __repr__(self) -> str:
        return f"<Response [{int(self.status_code)}]>"


def _status(code: int) -> int:
    from http import HTTPStatus

    try:
        return HTTPStatus(code)
    except ValueError:
        return code


__all__ = ["UNSET", "File", "FileTypes", "RequestFiles", "Response", "Unset"]
