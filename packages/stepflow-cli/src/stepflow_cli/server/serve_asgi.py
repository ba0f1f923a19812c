"""Opens a port and serves an ASGI application on it until a signal stops the command."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import uvicorn

from ..errors import ExitCode, Problem, usage
from ..signals import using_stop_signal_handler

_GRACE_SECONDS = 2


def open_listening_socket(host: str, port: int) -> socket.socket:
    """Open a socket that listens on the given host and port.

    Raises:
        Problem: If the port can't be used, or if the host isn't an address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
            # Everything succeeded, so keep the socket open.
            stack.pop_all()
        return listening
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            hint = "--host expects an address of this machine"
            raise usage(f"cannot listen on {host}: {error.strerror or error}", hint) from None
        state = "in use" if error.errno == errno.EADDRINUSE else "not allowed for this user"
        code, hint = ExitCode.NO_SERVER, "choose a different port, or 0 for any free one"
        raise Problem(f"port {port} is {state}", kind="port_in_use", exit_code=code, hint=hint) from None


def serve_asgi(app: Any, listening: socket.socket, stopping: asyncio.Event, ready: Callable[[], object]) -> None:
    """Serve an ASGI application until this process receives SIGINT, SIGTERM or SIGHUP.

    Args:
        app: The application.
        listening: The listening socket, which is closed at the end.
        stopping: An event that is set to tell streams to end.
        ready: Called just before the application starts to handle requests.
    """
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
    server = _StoppableServer(config)
    server.stopping = stopping
    # Capture signals here too, because one may arrive before the server is running.
    with server.capture_signals():
        ready()
        server.run(sockets=[listening])


class _StoppableServer(uvicorn.Server):
    """A server that stops itself and its streams when it gets a signal, but doesn't raise the signal again."""

    stopping: asyncio.Event | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with using_stop_signal_handler(self.handle_exit):
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self.stopping is not None:
            self.stopping.set()
