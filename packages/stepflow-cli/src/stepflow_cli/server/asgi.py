"""Open a port, and serve an ASGI application on it until a signal stops the command."""

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
    """Open a listening socket.

    Raises:
        Problem: If the port is in use, or the host isn't an address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
            # Keep the socket open if everything succeeds.
            stack.pop_all()
        return listening
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            hint = "--host expects an address of this machine"
            raise usage(f"cannot listen on {host}: {error.strerror or error}", hint) from None
        state = "in use" if error.errno == errno.EADDRINUSE else "not allowed for this user"
        code, hint = ExitCode.NO_SERVER, "choose a different one with --port, or 0 for any free port"
        raise Problem(f"port {port} is {state}", kind="port_in_use", exit_code=code, hint=hint) from None


def serve_asgi(app: Any, listening: socket.socket, stopping: asyncio.Event, ready: Callable[[], object]) -> None:
    """Serve an ASGI application until SIGINT, SIGTERM or SIGHUP.

    Args:
        app: The application.
        listening: The listening socket, closed at the end.
        stopping: An event that is set when streams should end.
        ready: Called just before the application becomes available.
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
    # Also covers signals that arrive before the server runs.
    with server.capture_signals():
        ready()
        server.run(sockets=[listening])


class _StoppableServer(uvicorn.Server):
    """A server that stops on a signal, along with its streams, without raising the signal again."""

    stopping: asyncio.Event | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with using_stop_signal_handler(self.handle_exit):
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self.stopping is not None:
            self.stopping.set()
