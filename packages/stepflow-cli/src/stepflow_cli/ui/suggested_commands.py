"""Build the terminal commands that pages suggest as an alternative to using the page."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from stepflow_client import RunDetails
from stepflow_client._base.text_formatting import visible
from stepflow_client._command import RunQuery, quote_word


class SuggestedCommand(NamedTuple):
    """A command and its purpose."""

    purpose: str
    text: str


class CommandBuilder:
    """Builds `stepflow` commands for a server.

    Args:
        url: The URL of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, purpose: str, *words: str, item: object = None) -> SuggestedCommand:
        """Return a command.

        Args:
            purpose: What the command does, for display.
            words: The words after `stepflow`.
            item: The value of the `--item` option: an index, or a pair of indexes such as `0:1`.
        """
        option = [] if item is None else ["--item", str(item)]
        return SuggestedCommand(purpose, shlex.join(["stepflow", *words, *option, "--url", self._url]))

    def build_list_commands(self, query: RunQuery) -> list[SuggestedCommand]:
        """Return the command that lists the same runs as the page."""
        if visible(str(query)) != str(query):
            # Don't suggest a command that could send escape sequences to the terminal when it's pasted.
            return []
        roots = [] if "include" in query.fields else ["--roots-only"]
        parts = [RunQuery((), {name: value}) for name, value in query.fields.items() if name != "include"]
        return [self.build("List these runs", "runs", "list", *roots, *map(str, parts), *map(quote_word, query.words))]

    def build_run_commands(self, run: RunDetails, item: int | None, step_id: str | None) -> list[SuggestedCommand]:
        """Return the commands for a run, for one of its items, or for a step."""
        run_id = run.run_id
        commands = [] if run.is_finished else [self.build("Watch this run", "runs", "watch", run_id)]
        if item is not None:
            commands.append(self.build("Print this item's result", "runs", "result", run_id, item=item))
        commands.append(self.build("Print this run", "runs", "get", run_id))
        # Skip a step whose name could send escape sequences to the terminal.
        if run.is_finished and (not step_id or visible(step_id) == step_id):
            failed = ["--failed"] if item is None and run.status.value != "completed" else []
            options = ["--from", step_id] if step_id else failed
            purpose = "Run again from this step" if step_id else "Run again"
            commands.append(self.build(purpose, "runs", "rerun", run_id, *options, item=item))
        return commands
