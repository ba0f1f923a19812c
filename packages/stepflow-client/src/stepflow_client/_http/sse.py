"""Decodes server-sent events from the bytes of a response, within a size limit. Pure.

Only the data of events is read: Stepflow servers send no ids, event names or retry times, and this client would not
use them. A line or an event that never ends does not fill the memory.
"""

from __future__ import annotations

from .messages import TooLarge

MAX_EVENT_BYTES = 256 * 1024 * 1024
"""Maximum size of one event in bytes. An event holds at most one step's output; servers accept requests of 250 MiB."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventDecoder:
    """Decodes events from chunks of bytes, wherever these are split.

    Args:
        max_bytes: Maximum size in bytes of a line, and of the data of an event.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
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
        events: list[bytes] = []
        *lines, rest = chunk.split(b"\n")
        for part in lines:
            self._line += part
            self._check_size(len(self._line))
            line = bytes(self._line)
            self._line.clear()
            if self._is_first:
                self._is_first = False
                line = line.removeprefix(_BYTE_ORDER_MARK)
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data += value.removeprefix(b" ") + b"\n"
                self._check_size(len(self._data))
            elif not line:
                if len(self._data) > 1:
                    events.append(bytes(self._data[:-1]))
                self._data.clear()
        self._line += rest
        self._check_size(len(self._line))
        return events

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"an event has more than {self._max_bytes} bytes")
