"""A socket server that sends arbitrary bytes, valid HTTP or not."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

from tests.unit.both_twins import HEALTH

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BODY = json.dumps(HEALTH).encode()
HEALTHY = OK + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
"""A complete response to a client's health check."""

Talk = Callable[["Conversation"], None]


class Conversation:
    """A connection.

    Args:
        connection: Its socket.
        number: The number of earlier connections.
    """

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number
        self.requests: list[bytes] = []

    def read(self) -> bytes:
        """Return the head of the next request; empty once the client has closed the connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(65536)
            if not data:
                return b""
            head += data
        self.requests.append(head)
        return head

    def say(self, data: bytes | Iterable[bytes]) -> None:
        """Send bytes, or an endless sequence of chunks until the client closes."""
        for piece in (data,) if isinstance(data, bytes) else data:
            self.socket.sendall(piece)


class RawServer:
    """Listens on a free port of 127.0.0.1 and handles each connection in a thread.

    Args:
        talk: Handles each connection.
        tls: The server's TLS context.
    """

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self.conversations: list[Conversation] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            conversation = Conversation(connection, len(self.conversations))
            self.conversations.append(conversation)
            thread = threading.Thread(target=self._serve, args=(conversation,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, conversation: Conversation) -> None:
        # The client may close the connection early.
        with suppress(OSError):
            conversation.socket.settimeout(20)
            if self._tls is not None:
                conversation.socket = self._tls.wrap_socket(conversation.socket, server_side=True)
            self._talk(conversation)
        with suppress(OSError):
            conversation.socket.shutdown(socket.SHUT_RDWR)
        conversation.socket.close()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Without the shutdown, a thread in accept() would keep the socket open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conversation in self.conversations:
            with suppress(OSError):
                conversation.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def answers(*responses: bytes | Iterable[bytes]) -> Talk:
    """Respond to the requests of a connection in turn; the last response is repeated for all further requests."""

    def talk(conversation: Conversation) -> None:
        for number in range(1_000_000):
            if not conversation.read():
                return
            conversation.say(responses[min(number, len(responses) - 1)])

    return talk
