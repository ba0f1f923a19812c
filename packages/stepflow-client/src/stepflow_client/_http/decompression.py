"""Decompresses response bodies piece by piece, if a server or proxy has compressed them without being asked to."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .http1_format import Unreadable

# Maximum piece size in bytes, because a few compressed bytes can expand to gigabytes.
_MAX_PIECE_BYTES = 1024 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Decompressor:
    """Decompresses one response body.

    Args:
        encoding: The `content-encoding` header.

    Raises:
        Unreadable: If the encoding isn't gzip, deflate or identity.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        self._formats = {"": [], "identity": [], "gzip": [_GZIP], "x-gzip": [_GZIP], "deflate": [_ZLIB, _RAW]}.get(name)
        if self._formats is None:
            raise Unreadable(f"it is encoded as {name[:50]!r}, which was not requested")
        self._unpacking = zlib.decompressobj(self._formats[0]) if self._formats else None
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress some bytes, yielding the output in pieces.

        Raises:
            Unreadable: If the data is corrupt.
        """
        if self._unpacking is None:
            if data:
                yield data
            return
        while data:
            piece = self._decompress_piece(data)
            if piece:
                yield piece
            data = self._unpacking.unconsumed_tail
            if not data and len(piece) == _MAX_PIECE_BYTES:
                # All input has been consumed, but there may still be more output.
                while piece := self._decompress_piece(b""):
                    yield piece
            if self._unpacking.eof and self._unpacking.unused_data and self._formats:
                # gzip data can consist of several members.
                data = self._unpacking.unused_data
                self._unpacking = zlib.decompressobj(self._formats[0])

    def check_body_is_complete(self) -> None:
        """Check that nothing is missing. Call this once the body has ended.

        Raises:
            Unreadable: If the compressed data is truncated.
        """
        if self._unpacking is not None and self._has_begun and not self._unpacking.eof:
            raise Unreadable("the end of its compressed body is missing")

    def _decompress_piece(self, data: bytes) -> bytes:
        assert self._unpacking is not None
        is_first, self._has_begun = not self._has_begun, True
        try:
            return self._unpacking.decompress(data, _MAX_PIECE_BYTES)
        except zlib.error as error:
            if is_first and self._formats and len(self._formats) > 1:
                # Some servers send deflate data without the zlib header.
                self._unpacking = zlib.decompressobj(self._formats[1])
                return self._decompress_piece(data)
            raise Unreadable(f"its compressed body is damaged: {error}") from None
