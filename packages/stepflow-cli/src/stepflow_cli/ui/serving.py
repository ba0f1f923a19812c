"""Serving the pages for a command: the port, the link and the browser."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..context import current_session
from ..server.connect import Target
from ..server.listening import Addresses, listen

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True)
class Pages:
    """How the pages are served."""

    port: int = 0
    host: str = "127.0.0.1"
    no_open: bool = False
    folder: str | None = None
    """The folder of flow files."""


EXTRA = ("jinja2", "starlette", "uvicorn")
"""The packages that the pages need."""


def serve_pages(target: Target, pages: Pages, run_id: str | None = None) -> None:
    """Serve the pages about a server until SIGINT, SIGTERM or SIGHUP.

    Args:
        target: The server.
        pages: How to serve them.
        run_id: The run whose page the link opens; None for the list of runs.

    Raises:
        Problem: If the port cannot be used.
    """
    with listen(pages.host, pages.port) as listening, target.history.recording():
        _serve(target, listening, pages, run_id)


def _serve(target: Target, listening: socket.socket, pages: Pages, run_id: str | None) -> None:
    from ..server.asgi import serve_application
    from .app import Served, application, link
    from .flow_folder import FlowFolder
    from .security import Sessions

    addresses = Addresses.of(listening, pages.host)
    is_quiet = current_session().quiet
    told: list[str] = []

    def tell(token: str) -> None:
        url = link(pages.host, addresses.port, token, run_id)
        if told:
            print(f"Another browser: {url}", file=sys.stderr, flush=True)
            return
        told.append(token)
        where = "other machines too, unencrypted" if addresses.is_exposed else "this machine only"
        if not is_quiet:
            print(f"Pages about {target.client.url}, for {where}; Ctrl-C stops them.", file=sys.stderr)
        print(url, file=sys.stderr, flush=True)
        if not pages.no_open:
            import webbrowser

            if not webbrowser.open(url):
                print("No browser could be started: open the link yourself.", file=sys.stderr, flush=True)

    folder = FlowFolder(pages.folder) if pages.folder is not None else None
    sessions, stopping = Sessions(tell), asyncio.Event()
    app = application(Served(target.async_client, target.history, folder, addresses, sessions, stopping))
    serve_application(app, listening, stopping, lambda: tell(sessions.token))
