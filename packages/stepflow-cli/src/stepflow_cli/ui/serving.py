"""Serve the pages for a command: open the port, print the link and open the browser."""

from __future__ import annotations

import asyncio
import sys
import threading

from ..errors import current_session
from ..server.connect import Target
from ..server.host_origin_checks import AcceptedAddresses

UI_PACKAGES = ("jinja2", "starlette", "uvicorn")
"""The packages that the pages require."""


def serve_pages(
    target: Target,
    run_id: str | None = None,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    no_open: bool = False,
    folder: str | None = None,
) -> None:
    """Serve the pages for a server until the process receives SIGINT, SIGTERM or SIGHUP.

    Args:
        target: The server to show.
        run_id: The run to open in the browser. Defaults to the list of runs.
        port: The port to listen on, or 0 to pick a free one.
        host: The address to listen on.
        no_open: Whether to skip opening a browser.
        folder: The folder of flow files to show, if any.

    Raises:
        Problem: If the server can't listen on the port.
    """
    from ..server.serve_asgi import open_listening_socket, serve_asgi
    from .app import build_access_link, build_application
    from .flow_folder import FlowFolder
    from .security import Sessions

    is_first, is_quiet = True, current_session().quiet

    def print_link(token: str) -> None:
        nonlocal is_first
        url = build_access_link(host, addresses.port, token, run_id)
        if not is_first:
            print(f"Another browser: {url}", file=sys.stderr, flush=True)
            return
        is_first = False
        if not is_quiet:
            where = "other machines too, unencrypted" if addresses.is_exposed else "this machine only"
            print(f"Serving pages for {target.client.url} to {where}; press Ctrl-C to stop.", file=sys.stderr)
        print(url, file=sys.stderr, flush=True)
        if not no_open:
            # Use a thread because opening a terminal browser (such as lynx) blocks until that browser exits.
            threading.Thread(target=_open_browser, args=(url,), daemon=True).start()

    with open_listening_socket(host, port) as listening, target.history.recording_runs():
        addresses = AcceptedAddresses.from_socket(listening, host)
        flows = FlowFolder(folder) if folder is not None else None
        sessions, stopping = Sessions(print_link), asyncio.Event()
        app = build_application(target.create_async_client, target.history, flows, addresses, sessions, stopping)
        serve_asgi(app, listening, stopping, lambda: print_link(sessions.token))


def _open_browser(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        print("Could not start a browser: open the link yourself.", file=sys.stderr, flush=True)
