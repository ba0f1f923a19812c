"""A socket server whose responses the test controls byte by byte."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.unit.both_twins import HEALTH

Answer = Callable[[socket.socket, bytes], None]
"""Handles a request, given the connection and the head of the request."""


@contextmanager
def listening(answer: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[int]:
    """Listen on a free port and let `answer` handle each request; yield the port.

    Args:
        answer: Handles a request. The connection stays open until the client closes it.
        tls: The TLS context; None for plain TCP.
        host: The address to listen on.
    """
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        # Many tests make the client close the connection early.
        with suppress(OSError, ValueError):
            stream = connection if tls is None else secured(connection, tls)
            connections.append(stream)
            while head := read_head(stream):
                answer(stream, head)
        connection.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server((host, 0)) as server:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server.getsockname()[1]
        finally:
            for each in (server, *connections):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()
            acceptor.join(5)


def secured(connection: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Start TLS. If the handshake fails, read until the client closes, because a reset could overtake the alert."""
    with connection.dup() as plain:
        try:
            return tls.wrap_socket(connection, server_side=True)
        except ssl.SSLError:
            plain.shutdown(socket.SHUT_WR)
            plain.settimeout(5)
            while plain.recv(65_536):
                pass
            raise


def read_head(connection: socket.socket) -> bytes:
    """Return the head of the next request; empty once the client has closed the connection."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(65_536)
        if not data:
            return b""
        head += data
    return head


def message(body: bytes, *headers: str, status: int = 200, content_type: str = "application/json") -> bytes:
    """Return a response in wire format."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def healthy(connection: socket.socket, head: bytes) -> None:
    """Respond to every request like the health check of a 0.13 server."""
    connection.sendall(message(json.dumps(HEALTH).encode()))


def sending(*parts: bytes) -> Answer:
    """Return a handler that responds to every request with these bytes and then closes the connection."""

    def answer(connection: socket.socket, head: bytes) -> None:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)

    return answer


def decoded(head: bytes) -> dict[str, Any]:
    """Return the headers of a request."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
