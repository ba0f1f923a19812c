"""Serve an ASGI application until a signal stops the command."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from ..signals import using_stop_signal_handler

_GRACE_SECONDS = 2


def serve_asgi(app: Any, listening: socket.socket, stopping: asyncio.Event, ready: Callable[[], object]) -> None:
    """Serve an ASGI application until SIGINT, SIGTERM or SIGHUP.

    Args:
        app: The application.
        listening: The listening socket, closed at the end.
        stopping: Set when streams should end.
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
