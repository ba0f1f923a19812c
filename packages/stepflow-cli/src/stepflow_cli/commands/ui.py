"""`stepflow ui`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..context import current_session
from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..params.options import option_in, port_option, server_options
from ..params.parsing import Command
from ..server.connect import Target, connect
from ..settings.server_choice import ServerOptions

if TYPE_CHECKING:
    import socket

__all__ = ["command"]


@click.command("ui", cls=Command)
@server_options(default="server")
@port_option(0, "Pages")
@option_in(
    "--host",
    default="127.0.0.1",
    section="Pages",
    metavar="HOST",
    help="The address to listen on. Others than loopback let other machines reach the pages, unencrypted. "
    "[default: 127.0.0.1]",
)
@option_in("--no-open", is_flag=True, section="Pages", help="Print the link only; start no browser.")
def command(server: ServerOptions, port: int, host: str, no_open: bool) -> None:
    """Pages that start, follow, cancel and repeat runs, served from this machine until Ctrl-C. They load nothing from
    the network and are readable without JavaScript; with it they follow what happens on the server.

    The link has a token, which is good for one browser: it is exchanged for a cookie. When it is used, the link for
    another browser is printed. Credentials for the Stepflow server stay in this command.

    Runs that the pages start are recorded in the history, which also tells the input of a run; see 'stepflow history'.

    Needs the extra stepflow-cli[ui]; graphs need stepflow-cli[draw] too.
    """
    _check_extra()
    from ..ui.app import listen

    with connect(server) as target:
        # A wrong URL or rejected credentials should not first be reported in the browser.
        target.client.health_check()
        try:
            listening = listen(host, port)
        except OSError as error:
            raise _not_listening(error, host, port) from None
        with listening, target.history.recording():
            _serve(target, listening, host, no_open=no_open)


def _serve(target: Target, listening: socket.socket, host: str, *, no_open: bool) -> None:
    from ipaddress import ip_address

    from ..ui.app import link, serve

    address, port = listening.getsockname()[:2]
    is_exposed = not ip_address(address).is_loopback
    is_quiet = current_session().quiet
    told: list[str] = []

    def tell(token: str) -> None:
        url = link(host, port, token)
        if told:
            print(f"Another browser: {url}", file=sys.stderr, flush=True)
            return
        told.append(token)
        where = "this machine only" if not is_exposed else "other machines too, unencrypted"
        if not is_quiet:
            print(f"Pages about {target.client.url}, for {where}; Ctrl-C stops them.", file=sys.stderr)
        print(url, file=sys.stderr, flush=True)
        if not no_open:
            import webbrowser

            if not webbrowser.open(url):
                print("No browser could be started: open the link yourself.", file=sys.stderr, flush=True)

    serve(listening, target.async_client, history=target.history, host=host, is_exposed=is_exposed, tell=tell)


def _check_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("jinja2", "starlette", "uvicorn")):
        raise Problem(
            "the pages need packages that are not installed",
            kind="not_installed",
            exit_code=ExitCode.FAILED,
            hint="pip install 'stepflow-cli[ui]'",
        )


def _not_listening(error: OSError, host: str, port: int) -> Problem:
    import errno

    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        what = "in use" if error.errno == errno.EADDRINUSE else "not allowed for this user"
        return Problem(
            f"port {port} is {what}",
            kind="port_in_use",
            exit_code=ExitCode.FAILED,
            hint="choose another one with --port, or 0 for a free one",
        )
    return usage(f"cannot listen on {host}: {error.strerror or error}", "--host takes an address of this machine")
