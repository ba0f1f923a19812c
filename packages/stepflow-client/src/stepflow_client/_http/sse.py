"""Decodes server-sent events from the bytes of a response, within a size limit. Pure.

Only the data of events is read: Stepflow servers send no ids, event names or retry times, and none of them would change
what this client does. A line or an event that never ends does not fill the memory.
"""

from __future__ import annotations

from .messages import TooLarge

LARGEST_EVENT = 256 * 1024 * 1024
"""Maximum size of one event in bytes. An event holds at most one step's output; servers accept requests of 250 MiB."""
_MARK = b"\xef\xbb\xbf"


class EventDecoder:
    """Decodes events from chunks of bytes, wherever these are split.

    Args:
        largest: Maximum size in bytes of a line, and of the data of an event.
    """

    def __init__(self, largest: int | None = None) -> None:
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
