"""Runs the application on a socket until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from ..signals import TERMINATION
from .app import application
from .security import Addresses, Sessions

if TYPE_CHECKING:
    from stepflow_client import StepflowClient

__all__ = ["link", "listen", "serve"]

_GRACE_SECONDS = 2


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: If the port is in use, or the host is not this machine's.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def link(host: str, port: int, token: str) -> str:
    """Return the URL that opens the pages."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"


class _Server(uvicorn.Server):
    """Ends at a signal, and then streams end too; the signal is not raised again."""

    stopping: asyncio.Event | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end the command while the server runs."""
        numbers = (signal.SIGINT, *TERMINATION)
        # Who starts a command with nohup wants it to stay.
        before = {each: signal.getsignal(each) for each in numbers if signal.getsignal(each) is not signal.SIG_IGN}
        for each in before:
            signal.signal(each, self.handle_exit)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self.should_exit = True
        if self.stopping is not None:
            self.stopping.set()


def serve(
    listening: socket.socket,
    client: Callable[[], StepflowClient],
    *,
    host: str,
    is_exposed: bool,
    tell: Callable[[str], None],
) -> None:
    """Serve the pages until SIGINT, SIGTERM or SIGHUP.

    Args:
        listening: Where it listens; closed at the end.
        client: Makes the client of the Stepflow server.
        host: The host that it was told to listen on.
        is_exposed: Whether other machines reach it.
        tell: Called with each token that opens the pages: the first one when the pages are there.
    """
    port = listening.getsockname()[1]
    names = {host, socket.gethostname()} if is_exposed else {host}
    stopping = asyncio.Event()
    sessions = Sessions(tell)
    app = application(
        client,
        addresses=Addresses(port, names, is_exposed=is_exposed),
        sessions=sessions,
        stopping=stopping,
        port=port,
    )
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)
    server.stopping = stopping
    # A signal that comes before the server runs is no failure either.
    with server.capture_signals():
        tell(sessions.token)
        server.run(sockets=[listening])
