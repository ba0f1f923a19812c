"""Build the URLs of the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from stepflow_client.flows.expressions import Path, format_path


@dataclass(frozen=True)
class ItemUrls:
    """The URLs for an item."""

    run_id: str
    index: int
    is_batch: bool
    """Whether the run is a batch, which means that URLs must include the item's index."""
    shows_all: bool = False
    """Whether the page shows every box, bar and row, even if there are many."""
    sort: str = ""
    """The sort order of the steps."""
    span: str = ""
    """The visible part of the timeline, in seconds from the start of the timeline."""

    @property
    def page(self) -> str:
        """The URL of the item's page. If the item failed, the page opens on the step that caused the failure."""
        return self._build_view_url(f"/items/{self.index}" if self.is_batch else "")

    @property
    def page_without_step(self) -> str:
        """The URL of the item's page, with the item itself in the panel even if one of its steps failed."""
        return self._build_view_url(f"/items/{self.index}" if self.is_batch else "", panel="run")

    def build_changed_view_url(self, step_id: str | None, **changes: Any) -> str:
        """Return the URL of a step (or the item if `step_id` is None) with a new `shows_all`, `sort` or `span`."""
        urls = replace(self, **changes)
        return urls.step(step_id) if step_id else urls.page

    def step(self, step_id: str) -> str:
        """Return the URL of the item's page with a step in the panel."""
        return self._build_view_url(f"/steps/{quote(step_id, safe='')}", item=self._item_parameter)

    def value(self, step_id: str | None, part: str, path: Path = (), start: int = 0, **more: str) -> str:
        """Return the URL of the page for a value in the `output` or `input` of a step or item, from entry `start`."""
        place = format_path(path) if path else ""
        return self._build_view_url(
            "/value", item=self._item_parameter, step=step_id, of=part, path=place, **{"from": start or ""}, **more
        )

    def get_value_link_builder(self, step_id: str | None, part: str) -> Callable[[Path, int], str]:
        """Return a function that maps a path and a start entry to a URL. Used when rendering a value as a tree."""
        return partial(self.value, step_id, part)

    text = staticmethod(format_path)

    def json(self, step_id: str | None, part: str, path: Path = (), *, download: bool = False) -> str:
        """Return the URL of a value within an output or input, as JSON."""
        place = format_path(path) if path else ""
        of = part if part != "output" else ""
        return self._build_view_url(
            "/output.json", item=self._item_parameter, step=step_id, of=of, path=place, download="1" if download else ""
        )

    def change(self, step_id: str | None = None) -> str:
        """Return the URL of the form for changing and rerunning the item."""
        return f"/runs/{self.run_id}/change{build_query_string(item=str(self.index), step=step_id)}"

    @property
    def save_case(self) -> str:
        """The URL of the page for saving the item as a test case."""
        return f"/runs/{self.run_id}/keep{build_query_string(item=str(self.index))}"

    def compare(self, other: str) -> str:
        """Return the URL of the page that compares this run to another run."""
        return f"/runs/{self.run_id}/compare{build_query_string(**{'with': other}, item=str(self.index))}"

    @property
    def _item_parameter(self) -> str:
        return str(self.index) if self.is_batch else ""

    def _build_view_url(self, page: str, /, **values: str | int | None) -> str:
        view = {"show": "all" if self.shows_all else "", "sort": self.sort, "span": self.span}
        shown = view if page not in ("/output.json", "/value") else {}
        return f"/runs/{self.run_id}{page}{build_query_string(**values, **shown)}"


def build_query_string(**values: object) -> str:
    """Build a query string, leaving out empty values. If all of them are empty, return an empty string."""
    parameters = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(parameters)}" if parameters else ""
