"""Bodies that come compressed though nobody asked for that, unpacked a piece at a time. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .messages import Unreadable

__all__ = ["Unpacker"]

_LONGEST_PIECE = 1024 * 1024
"""Bytes of a piece: a few compressed ones may stand for gigabytes."""
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Unpacker:
    """Unpacks a body.

    Args:
        encoding: What `content-encoding` says of it.

    Raises:
        Unreadable: If it is something else than gzip, deflate or identity.
    """

    def __init__(self, encoding: str) -> None:
        """Find how to unpack it."""
        name = encoding.strip().lower()
        self._formats = {"": [], "identity": [], "gzip": [_GZIP], "x-gzip": [_GZIP], "deflate": [_ZLIB, _RAW]}.get(name)
        if self._formats is None:
            raise Unreadable(f"it is encoded as {name[:50]!r}, which was not asked for")
        self._unpacking = zlib.decompressobj(self._formats[0]) if self._formats else None
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the pieces that some bytes stand for.

        Raises:
            Unreadable: If they are damaged.
        """
        if self._unpacking is None:
            if data:
                yield data
            return
        while data:
            piece = self._piece(data)
            if piece:
                yield piece
            data = self._unpacking.unconsumed_tail
            if not data and len(piece) == _LONGEST_PIECE:
                # There may be more to come of what has been read.
                while piece := self._piece(b""):
                    yield piece
            if self._unpacking.eof and self._unpacking.unused_data and self._formats:
                # A gzip file may consist of several.
                data = self._unpacking.unused_data
                self._unpacking = zlib.decompressobj(self._formats[0])

    def finish(self) -> None:
        """Note the end of the body.

        Raises:
            Unreadable: If something is missing.
        """
        if self._unpacking is not None and self._began and not self._unpacking.eof:
            raise Unreadable("the end of its compressed body is missing")

    def _piece(self, data: bytes) -> bytes:
        assert self._unpacking is not None
        first, self._began = not self._began, True
        try:
            return self._unpacking.decompress(data, _LONGEST_PIECE)
        except zlib.error as error:
            if first and self._formats and len(self._formats) > 1:
                # Some servers send what is called deflate without its header.
                self._unpacking = zlib.decompressobj(self._formats[1])
                return self._piece(data)
            raise Unreadable(f"its compressed body is damaged: {error}") from None
