"""The commands that do in a terminal what a page shows, complete with its server."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from stepflow_client._base.text import visible
from stepflow_client._command import RunQuery, quote_word

if TYPE_CHECKING:
    from stepflow_client import RunDetails


class PageCommand(NamedTuple):
    """A command, and what it is for."""

    purpose: str
    text: str


class Commands:
    """Writes commands for a server.

    Args:
        url: The URL of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, purpose: str, *words: str, item: object = None) -> PageCommand:
        """Return a command; for an item of its run if one is given, or for a pair of them such as `0:1`."""
        option = [] if item is None else ["--item", str(item)]
        return PageCommand(purpose, shlex.join(["stepflow", *words, *option, "--url", self._url]))

    def build_list_commands(self, query: RunQuery) -> list[PageCommand]:
        """Return the command that lists the runs of a page."""
        if visible(str(query)) != str(query):
            # A text that could change what a terminal does is not copied into one.
            return []
        roots = [] if "include" in query.fields else ["--roots-only"]
        parts = [RunQuery((), {name: value}) for name, value in query.fields.items() if name != "include"]
        return [self.build("List these runs", "runs", "list", *roots, *map(str, parts), *map(quote_word, query.words))]

    def build_run_commands(self, run: RunDetails, item: int | None, step_id: str | None) -> list[PageCommand]:
        """Return the commands for a run, an item of it, or a step of it."""
        run_id = run.run_id
        commands = [] if run.is_finished else [self.build("Watch this run", "runs", "watch", run_id)]
        if item is not None:
            commands.append(self.build("Print this item's result", "runs", "result", run_id, item=item))
        commands.append(self.build("Print this run", "runs", "get", run_id))
        # A step whose name could change what a terminal does is not copied into one.
        if run.is_finished and (not step_id or visible(step_id) == step_id):
            failed = ["--failed"] if item is None and run.status.value != "completed" else []
            options = ["--from", step_id] if step_id else failed
            purpose = "Run again from this step" if step_id else "Run again"
            commands.append(self.build(purpose, "runs", "rerun", run_id, *options, item=item))
        return commands
