"""What the shell completes where a server has to be asked. What fails or takes too long offers nothing, silently."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from stepflow_client import RunDetails

__all__ = ["complete_run_ids"]

_TIMEOUT = 1.0
"""How long the server may keep the shell waiting, in seconds."""
_NEWEST = 50


def complete_run_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Give the newest runs of the server that the command line or the settings name, with what they are."""
    found: list[RunDetails] = []
    # A request's timeout bounds each read and not the whole.
    asking = threading.Thread(target=_newest_runs, args=(ctx.params, found), daemon=True)
    asking.start()
    asking.join(_TIMEOUT)
    return [
        CompletionItem(run.run_id, help=f"{run.status.value}, {run.flow_name or 'a flow without a name'}")
        for run in tuple(found)
        if run.run_id.startswith(incomplete)
    ]


def _newest_runs(given: dict[str, Any], found: list[RunDetails]) -> None:
    # The shell has no place for an error, whatever it is.
    try:
        from .connect import connect
        from .settings import ServerOptions, resolve

        names = ("url", "profile", "local", "config")
        options = ServerOptions(**{name: given[name] for name in names if given.get(name)}, default="server")
        settings = resolve(options)
        # The command that gives a token may ask for something on the terminal, where the shell is.
        asks = settings.profile is not None and settings.profile.token_command is not None
        if not settings.is_embedded and not asks:
            with connect(options) as target:
                found.extend(target.client.list_runs(limit=_NEWEST, timeout=_TIMEOUT).runs)
    except Exception:
        return
