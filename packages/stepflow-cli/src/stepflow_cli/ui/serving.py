"""Running the application on a socket until the process is asked to stop."""

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
    """Return a listening socket.

    Raises:
        OSError: If the port is in use, or the host is not an address of this machine.
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
    """A server that ends on a signal, along with its streams. It does not raise the signal again."""

    stopping: asyncio.Event | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end the command while the block runs."""
        numbers = (signal.SIGINT, *TERMINATION)
        # A signal that is ignored, as under nohup, stays ignored.
        before = {each: signal.getsignal(each) for each in numbers if signal.getsignal(each) is not signal.SIG_IGN}
        for each in before:
            signal.signal(each, self.handle_exit)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to shut down."""
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
        listening: The listening socket; it is closed at the end.
        client: Creates the client of the Stepflow server.
        host: The host given to listen on.
        is_exposed: Whether other machines can reach the pages.
        tell: Called with each token that opens the pages; the first call is made when the pages are available.
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
    # A signal that arrives before the server runs is not a failure either.
    with server.capture_signals():
        tell(sessions.token)
        server.run(sockets=[listening])
