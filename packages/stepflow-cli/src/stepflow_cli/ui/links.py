"""The URLs of what the pages show, and the commands that do the same in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from stepflow_client._base.text import visible
from stepflow_client._command import RunQuery, quote_word
from stepflow_client.flows.expressions import Path, write_path

if TYPE_CHECKING:
    from stepflow_client import RunDetails


@dataclass(frozen=True)
class ItemUrls:
    """The URLs of an item."""

    run_id: str
    index: int
    is_batch: bool
    """Whether the run has other items, so that URLs name this one."""
    shows_all: bool = False
    """Whether the page is opened with all boxes, bars and rows."""
    sort: str = ""
    """The order of the steps."""
    span: str = ""
    """The part of the timeline that is shown, in seconds from its start."""

    @property
    def page(self) -> str:
        """The screen of the item, opened at the cause of its failure."""
        return self._url(f"/items/{self.index}" if self.is_batch else "")

    @property
    def run(self) -> str:
        """The screen with the item itself in the panel, although a step failed."""
        return self._url(f"/items/{self.index}" if self.is_batch else "", panel="run")

    def view(self, step_id: str | None, **changes: Any) -> str:
        """Return the screen with a step in the panel, or the item, after changes of `shows_all`, `sort` or `span`."""
        urls = replace(self, **changes)
        return urls.step(step_id) if step_id else urls.page

    def step(self, step_id: str) -> str:
        """Return the screen with a step in the panel."""
        return self._url(f"/steps/{quote(step_id, safe='')}", item=self._item)

    def value(self, step_id: str | None, part: str, path: Path = (), start: int = 0, **more: str) -> str:
        """Return the page of a part of the `output` or `input` of a step, or of the item, from the entry `start` on."""
        place = write_path(path) if path else ""
        return self._url("/value", item=self._item, step=step_id, of=part, path=place, **{"from": start or ""}, **more)

    def links(self, step_id: str | None, part: str) -> Callable[[Path, int], str]:
        """Return a function that returns the URL of a part of a value, for trees."""
        return partial(self.value, step_id, part)

    text = staticmethod(write_path)

    def json(self, step_id: str | None, part: str, path: Path = (), *, download: bool = False) -> str:
        """Return the URL of a part of an output or input as JSON."""
        place = write_path(path) if path else ""
        of = part if part != "output" else ""
        return self._url(
            "/output.json", item=self._item, step=step_id, of=of, path=place, download="1" if download else ""
        )

    def change(self, step_id: str | None = None) -> str:
        """Return the form that runs the item again with changes."""
        return f"/runs/{self.run_id}/change{_query(item=str(self.index), step=step_id)}"

    @property
    def keep(self) -> str:
        """The page that makes a test case of the item."""
        return f"/runs/{self.run_id}/keep{_query(item=str(self.index))}"

    def compare(self, other: str) -> str:
        """Return the comparison with another run."""
        return f"/runs/{self.run_id}/compare{_query(**{'with': other}, item=str(self.index))}"

    @property
    def _item(self) -> str:
        return str(self.index) if self.is_batch else ""

    def _url(self, page: str, /, **values: str | int | None) -> str:
        view = {"show": "all" if self.shows_all else "", "sort": self.sort, "span": self.span}
        shown = view if page not in ("/output.json", "/value") else {}
        return f"/runs/{self.run_id}{page}{_query(**values, **shown)}"


def _query(**values: str | int | None) -> str:
    parameters = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(parameters)}" if parameters else ""


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
