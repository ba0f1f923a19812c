"""Server-sent events out of the bytes of a response, with a bound. Pure.

Only the data of events are read: Stepflow servers send neither ids, event names nor retry times, and none of them
changes what this client does. A line without an end, or an event without one, does not fill the memory.
"""

from __future__ import annotations

from .messages import TooLarge

__all__ = ["LARGEST_EVENT", "EventDecoder"]

LARGEST_EVENT = 256 * 1024 * 1024
"""Bytes of one event. An event holds the output of one step at most, and servers take requests of 250 MiB."""
_MARK = b"\xef\xbb\xbf"


class EventDecoder:
    """Reads events as their bytes come, however these are cut.

    Args:
        largest: Bytes that a line, and the data of an event, may have.
    """

    def __init__(self, largest: int | None = None) -> None:
        """Begin with nothing."""
        self._largest = LARGEST_EVENT if largest is None else largest
        self._line = bytearray()
        self._data = bytearray()
        self._after_return = False
        self._is_first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that the chunk completes.

        Raises:
            TooLarge: If a line or an event is too large.
        """
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_return = False
        if not chunk:
            return []
        self._after_return = chunk[-1:] == b"\r"
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        found: list[bytes] = []
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._line += line
            self._check(len(self._line))
            if (event := self._take(bytes(self._line))) is not None:
                found.append(event)
            self._line.clear()
        self._line += rest
        self._check(len(self._line))
        return found

    def _take(self, line: bytes) -> bytes | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_MARK)
        if not line:
            event = bytes(self._data[:-1])
            self._data.clear()
            return event or None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data += value.removeprefix(b" ") + b"\n"
            self._check(len(self._data))
        return None

    def _check(self, size: int) -> None:
        if size > self._largest:
            raise TooLarge(f"an event has more than {self._largest} bytes")
