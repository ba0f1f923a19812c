"""The commands that do in a terminal what a page shows, complete with its server."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from stepflow_client._base.text import visible
from stepflow_client._command import RunQuery, quoted

if TYPE_CHECKING:
    from stepflow_client import RunDetails


class PageCommand(NamedTuple):
    """A command, and what it is for."""

    purpose: str
    text: str


_LISTS = {
    "/flows": ("List these flows", "flows", "list"),
    "/components": ("List the components", "components", "list"),
}


class Commands:
    """Writes commands for a server.

    Args:
        url: The URL of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def of_path(self, path: str) -> list[PageCommand]:
        """Return the command for a page that always shows the same."""
        return [self._command(*_LISTS[path])] if path in _LISTS else []

    def of_list(self, query: RunQuery) -> list[PageCommand]:
        """Return the command that lists the runs of a page."""
        if visible(str(query)) != str(query):
            # A text that could change what a terminal does is not copied into one.
            return []
        roots = [] if "include" in query.fields else ["--roots-only"]
        parts = [RunQuery((), {name: value}) for name, value in query.fields.items() if name != "include"]
        return [self._command("List these runs", "runs", "list", *roots, *map(str, parts), *map(quoted, query.words))]

    def of_run(self, run: RunDetails, item: int | None, step_id: str | None) -> list[PageCommand]:
        """Return the commands for a run, an item of it, or a step of it."""
        run_id = run.run_id
        found = []
        if not run.is_finished:
            found.append(self._command("Watch this run", "runs", "watch", run_id))
        if item is not None:
            found.append(self._command("Print this item's result", "runs", "result", run_id, "--item", str(item)))
        found.append(self._command("Print this run", "runs", "get", run_id))
        # A step whose name could change what a terminal does is not copied into one.
        if step_id and visible(step_id) == step_id:
            found.append(self._command("Run again from this step", "runs", "rerun", run_id, "--from", step_id))
        elif run.is_finished and not step_id:
            failed = ["--failed"] if run.status.value != "completed" else []
            found.append(self._command("Run again", "runs", "rerun", run_id, *failed))
        return found

    def of_comparison(self, older: str, newer: str, items: tuple[int, int] | None) -> list[PageCommand]:
        """Return the command that compares two runs, or an item of each."""
        chosen = ["--item", f"{items[0]}:{items[1]}"] if items is not None else []
        return [self._command("Compare these runs", "runs", "diff", older, newer, *chosen)]

    def of_flow(self, flow_id: str) -> list[PageCommand]:
        """Return the command that prints a stored flow."""
        return [self._command("Print this flow", "flows", "get", flow_id)]

    def of_case(self, run_id: str, item: int | None) -> list[PageCommand]:
        """Return the command that makes a test case of a run."""
        chosen = ["--item", str(item)] if item is not None else []
        return [self._command("Keep as a test", "runs", "save", run_id, *chosen)]

    def _command(self, purpose: str, *words: str) -> PageCommand:
        return PageCommand(purpose, shlex.join(["stepflow", *words, "--url", self._url]))
