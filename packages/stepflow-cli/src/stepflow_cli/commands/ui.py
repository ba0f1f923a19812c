"""`stepflow ui`."""

from __future__ import annotations

import click

from ..errors import require_extra
from ..params.click_commands import Command
from ..params.options import Section, host_option, port_option, server_options
from ..params.runs import RUN_ID
from ..runs.find_runs import connect_to_runs
from ..settings.server_choice import ServerOptions

_PAGES = Section("Pages")


@click.command("ui", cls=Command)
@server_options(default="server")
@port_option(0, _PAGES)
@host_option(_PAGES)
@_PAGES.option(
    "--flows DIR",
    "Show the flow files in this folder, and allow saving runs to them as test cases.",
    to="folder",
    type=click.Path(exists=True, file_okay=False),
)
@_PAGES.option("--open RUN", "Open this run's page.", to="run", type=RUN_ID)
@_PAGES.option("--no-open", "Print the link without opening a browser.")
def command(server: ServerOptions, port: int, host: str, folder: str | None, run: str | None, no_open: bool) -> None:
    """Use the pages to start, follow, cancel and rerun runs. They're served from this machine until Ctrl-C, and load
    nothing from the network. They work without JavaScript, but then don't update live.

    You need a running server, such as 'stepflow serve'. To use a different server, pass --url. With --local, an
    embedded server runs while the pages are served.

    The link contains a token that one browser can exchange for a cookie. After that, the command prints a link for
    another browser. Credentials for the Stepflow server stay in this command.

    Runs that you start from the pages are recorded in the history with their input.

    This requires the stepflow-cli[ui] extra. Graphs also require stepflow-cli[draw].
    """
    from ..ui.serving import UI_PACKAGES, serve_pages

    require_extra("'stepflow ui'", "ui", *UI_PACKAGES)
    with connect_to_runs(server, [] if run is None else [run]) as (target, ids):
        # Report an invalid URL or rejected credentials now, rather than later in the browser.
        target.client.health_check()
        run_id = target.client.get_run(ids[0]).run_id if ids else None
        serve_pages(target, run_id, port=port, host=host, no_open=no_open, folder=folder)
