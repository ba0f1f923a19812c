"""Build URLs for the pages, and the equivalent terminal commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from stepflow_client._base.text import visible
from stepflow_client._command import RunQuery, quote_word
from stepflow_client.flows.expressions import Path, format_path

if TYPE_CHECKING:
    from stepflow_client import RunDetails


@dataclass(frozen=True)
class ItemUrls:
    """The URLs for an item."""

    run_id: str
    index: int
    is_batch: bool
    """Whether the run is a batch, in which case URLs must include the item index."""
    shows_all: bool = False
    """Whether to show every box, bar and row."""
    sort: str = ""
    """The sort order of the steps."""
    span: str = ""
    """The visible part of the timeline, in seconds from its start."""

    @property
    def page(self) -> str:
        """The item's page. If the item failed, it opens at the step that caused it."""
        return self._build_url(f"/items/{self.index}" if self.is_batch else "")

    @property
    def item_panel(self) -> str:
        """The item's page with the item itself in the panel, even if one of its steps failed."""
        return self._build_url(f"/items/{self.index}" if self.is_batch else "", panel="run")

    def build_view_url(self, step_id: str | None, **changes: Any) -> str:
        """Return a step's URL, or the item's if `step_id` is None, after changing `shows_all`, `sort` or `span`."""
        urls = replace(self, **changes)
        return urls.step(step_id) if step_id else urls.page

    def step(self, step_id: str) -> str:
        """Return the URL of the item's page with a step in the panel."""
        return self._build_url(f"/steps/{quote(step_id, safe='')}", item=self._item_parameter)

    def value(self, step_id: str | None, part: str, path: Path = (), start: int = 0, **more: str) -> str:
        """Return the URL of part of a step's or the item's `output` or `input`, starting at entry `start`."""
        place = format_path(path) if path else ""
        return self._build_url(
            "/value", item=self._item_parameter, step=step_id, of=part, path=place, **{"from": start or ""}, **more
        )

    def get_link_builder(self, step_id: str | None, part: str) -> Callable[[Path, int], str]:
        """Return a function that maps a path and a start entry to a URL, for rendering trees."""
        return partial(self.value, step_id, part)

    text = staticmethod(format_path)

    def json(self, step_id: str | None, part: str, path: Path = (), *, download: bool = False) -> str:
        """Return the URL for part of an output or input as JSON."""
        place = format_path(path) if path else ""
        of = part if part != "output" else ""
        return self._build_url(
            "/output.json", item=self._item_parameter, step=step_id, of=of, path=place, download="1" if download else ""
        )

    def change(self, step_id: str | None = None) -> str:
        """Return the URL of the form for changing and rerunning the item."""
        return f"/runs/{self.run_id}/change{build_query_string(item=str(self.index), step=step_id)}"

    @property
    def save_case(self) -> str:
        """The page that saves the item as a test case."""
        return f"/runs/{self.run_id}/keep{build_query_string(item=str(self.index))}"

    def compare(self, other: str) -> str:
        """Return the URL of the page that compares this run to another run."""
        return f"/runs/{self.run_id}/compare{build_query_string(**{'with': other}, item=str(self.index))}"

    @property
    def _item_parameter(self) -> str:
        return str(self.index) if self.is_batch else ""

    def _build_url(self, page: str, /, **values: str | int | None) -> str:
        view = {"show": "all" if self.shows_all else "", "sort": self.sort, "span": self.span}
        shown = view if page not in ("/output.json", "/value") else {}
        return f"/runs/{self.run_id}{page}{build_query_string(**values, **shown)}"


def build_query_string(**values: object) -> str:
    """Leaves out empty values. Without any others, the result is an empty string."""
    parameters = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(parameters)}" if parameters else ""


class SuggestedCommand(NamedTuple):
    """A command and what it's for."""

    purpose: str
    text: str


class CommandBuilder:
    """Builds commands to run against a server.

    Args:
        url: The server's URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, purpose: str, *words: str, item: object = None) -> SuggestedCommand:
        """Return a command. `item`, an index or a pair such as `0:1`, becomes its `--item` option."""
        option = [] if item is None else ["--item", str(item)]
        return SuggestedCommand(purpose, shlex.join(["stepflow", *words, *option, "--url", self._url]))

    def build_list_commands(self, query: RunQuery) -> list[SuggestedCommand]:
        """Return the command that lists the same runs as a page."""
        if visible(str(query)) != str(query):
            # Don't offer text to copy if it could send escape sequences to a terminal.
            return []
        roots = [] if "include" in query.fields else ["--roots-only"]
        parts = [RunQuery((), {name: value}) for name, value in query.fields.items() if name != "include"]
        return [self.build("List these runs", "runs", "list", *roots, *map(str, parts), *map(quote_word, query.words))]

    def build_run_commands(self, run: RunDetails, item: int | None, step_id: str | None) -> list[SuggestedCommand]:
        """Return the commands for a run, one of its items, or a step."""
        run_id = run.run_id
        commands = [] if run.is_finished else [self.build("Watch this run", "runs", "watch", run_id)]
        if item is not None:
            commands.append(self.build("Print this item's result", "runs", "result", run_id, item=item))
        commands.append(self.build("Print this run", "runs", "get", run_id))
        # Skip steps whose names could send escape sequences to a terminal.
        if run.is_finished and (not step_id or visible(step_id) == step_id):
            failed = ["--failed"] if item is None and run.status.value != "completed" else []
            options = ["--from", step_id] if step_id else failed
            purpose = "Run again from this step" if step_id else "Run again"
            commands.append(self.build(purpose, "runs", "rerun", run_id, *options, item=item))
        return commands
