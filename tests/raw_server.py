"""A server on a bare socket, which says what it is told to, right or wrong."""

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
"""A whole answer to what a client asks first."""

Talk = Callable[["Conversation"], None]


class Conversation:
    """One connection.

    Args:
        connection: Its socket.
        number: How many came before.
    """

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number
        self.requests: list[bytes] = []

    def read(self) -> bytes:
        """Return the head of the next request; nothing at the end of the connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(65536)
            if not data:
                return b""
            head += data
        self.requests.append(head)
        return head

    def say(self, data: bytes | Iterable[bytes]) -> None:
        """Send bytes, or pieces of them without end until the client has had enough."""
        for piece in (data,) if isinstance(data, bytes) else data:
            self.socket.sendall(piece)


class RawServer:
    """Listens on a free port of 127.0.0.1; each connection has a thread, which ends when what it says is said.

    Args:
        talk: What is done on each connection.
        tls: The server side of TLS.
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
        # A client that has heard enough closes the connection.
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
        # Without the shutdown a thread in accept() holds the socket open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conversation in self.conversations:
            with suppress(OSError):
                conversation.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def answers(*said: bytes | Iterable[bytes]) -> Talk:
    """Answer the requests of a connection one after the other, the last answer being that to all that follow."""

    def talk(conversation: Conversation) -> None:
        for number in range(1_000_000):
            if not conversation.read():
                return
            conversation.say(said[min(number, len(said) - 1)])

    return talk
