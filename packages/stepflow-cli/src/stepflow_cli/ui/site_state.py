"""The state shared by all pages: the client, templates, form tokens and caches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse
from stepflow_client import (
    InvalidArgumentError,
    NotFoundError,
    RunArguments,
    RunDetails,
    StepflowClient,
    StepflowClientError,
    StoredFlow,
    TransportError,
)
from stepflow_client._base.text_formatting import duration_text, short_json, visible, visible_lines
from stepflow_client._command import BoundedDict, SnapshotReader
from stepflow_client.drawing.drawn_graph import cut_label
from stepflow_client.drawing.json_tree import json_tree
from stepflow_client.drawing.page_frame import STYLED_STATUSES
from stepflow_client.history import HistoryEntry
from stepflow_client.types.runs import RunSnapshot

from ..output.tables import map_run_ids_to_prefixes
from ..settings.run_history import LazyRunHistory
from .flow_folder import FlowFolder
from .links import build_query_string
from .run_followers import RunFollowers, ServerHealth
from .run_list import RunFinder, RunListCache
from .schema_forms import hash_form_contents, is_raw_edited
from .security import FormTokens
from .suggested_commands import CommandBuilder

_MAX_INPUTS = 1_000
_MAX_RECENT = 50


@dataclass
class Site:
    """The state shared by all pages: the client for the server being shown, templates, form tokens and caches."""

    client: StepflowClient
    snapshots: SnapshotReader
    """Reads runs but leaves outputs as the server sent them: reordering a large output takes longer than parsing it."""
    templates: Environment
    forms: FormTokens
    followers: RunFollowers
    health: ServerHealth
    run_lists: RunListCache
    finder: RunFinder
    inputs: BoundedDict[str, Any] = field(default_factory=lambda: BoundedDict(_MAX_INPUTS))
    """The inputs of the latest runs started from these pages. Used when the history is off."""
    last_item: Any = None
    """The last finished item shown (cached by `item_page_data`)."""
    reruns: BoundedDict[str, Any] = field(default_factory=lambda: BoundedDict(_MAX_RECENT))
    """Reruns that started several runs (or none), by random key."""
    trials: BoundedDict[str, Any] = field(default_factory=lambda: BoundedDict(_MAX_RECENT))
    """The forms submitted to try a change on a single item, by the ID of the trial run."""
    history: LazyRunHistory = field(default_factory=LazyRunHistory)
    """The history where the client records the runs it starts."""
    flows: FlowFolder | None = None
    """The folder of flow files to show, if any."""

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template."""
        session = request.scope.get("stepflow.session", "")

        def build_token_input(path: str) -> Markup:
            value = self.forms.issue_token(session, path)
            return Markup('<input type="hidden" name="csrf" value="{}">').format(value)

        # Links must point to the whole page even if a script is only fetching part of it.
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "part"]
        address = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        text = self.templates.get_template(f"{template}.html").render(
            server=self.client.url,
            path=request.url.path,
            address=f"{address}?{urlencode(query)}" if query else address,
            commands=CommandBuilder(self.client.url),
            csrf=build_token_input,
            token_for=lambda path: self.forms.issue_token(session, path),
            **{"live": "", **values},
        )
        return HTMLResponse(text, status_code=status)

    def render_error_page(self, request: Request, error: Exception) -> HTMLResponse:
        """Render an error page. An error that isn't a `StepflowClientError` means that the page doesn't exist."""
        if not isinstance(error, StepflowClientError):
            return self.render(request, "failure", 404, error=None, is_away=False)
        is_away = isinstance(error, TransportError)
        status = {NotFoundError: 404, InvalidArgumentError: 400}
        code = next((code for kind, code in status.items() if isinstance(error, kind)), 502)
        return self.render(request, "failure", code, error=error, is_away=is_away, live="/live" if is_away else "")

    async def read_run_details(self, run_id: str) -> RunDetails:
        """Return the current state of a run."""
        return (await self.snapshots.read_snapshot(run_id, is_current=True)).details

    async def read_snapshot(self, run_id: str, include: str | Iterable[str], item: int | None = None) -> RunSnapshot:
        """Return a run with the requested parts.

        For a run started from these pages, unknown inputs come from `inputs`.
        """
        snapshot = await self.snapshots.read_snapshot(run_id, include, item)
        arguments = snapshot.arguments
        if arguments is None or arguments.inputs is not None or run_id not in self.inputs:
            return snapshot
        value = self.inputs[run_id]
        return replace(snapshot, arguments=replace(arguments, inputs=value if isinstance(value, list) else [value]))

    async def read_run_arguments(self, run_id: str) -> RunArguments:
        """Return a run's arguments, taken from the server, the history or `inputs`."""
        arguments = (await self.read_snapshot(run_id, "arguments")).arguments
        assert arguments is not None
        return arguments

    async def restore_key_order_from_blob(self, stored: StoredFlow) -> StoredFlow:
        """Return a flow with its schema properties in their original order.

        Servers return the properties in a different order every time, except in the flow's blob.
        """
        try:
            data = (await self.client.get_blob(stored.flow_id)).data
        except StepflowClientError:
            return stored
        written = data.get("schemas") if isinstance(data, Mapping) else None
        schemas = _reorder_keys(stored.flow.get("schemas"), written)
        return replace(stored, flow={**stored.flow, "schemas": schemas})

    def list_recorded_reruns(self, run_id: str, limit: int) -> list[HistoryEntry]:
        """Return the reruns of a run that the history has recorded. A history that can't be read counts as empty."""
        try:
            return self.history.search(rerun_of=run_id, limit=limit)
        except StepflowClientError:
            return []


def _reorder_keys(value: Any, reference: Any) -> Any:
    """Put keys in the same order as in `reference`. Any keys that aren't in `reference` go last."""
    if isinstance(value, Mapping) and isinstance(reference, Mapping):
        keys = [*(key for key in reference if key in value), *(key for key in value if key not in reference)]
        return {key: _reorder_keys(value[key], reference.get(key)) for key in keys}
    if isinstance(value, list) and isinstance(reference, list) and len(value) == len(reference):
        return [_reorder_keys(entry, other) for entry, other in zip(value, reference, strict=True)]
    return value


def get_site(request: Request) -> Site:
    """Return the site that a request belongs to."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


def parse_query_index_or_none(query: Mapping[str, str], name: str) -> int | None:
    """Parse a non-negative integer from a query or form. Return None if it's missing or invalid."""
    text = query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 8 else None


def build_template_environment() -> Environment:
    """Create the template environment.

    It escapes all values, and its filters show control and bidi characters as `·`.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["statuses_with_look"] = STYLED_STATUSES
    templates.globals |= {"hash_form_contents": hash_form_contents, "is_raw_edited": is_raw_edited}
    templates.filters["shown"] = lambda value: visible("" if value is None else str(value))
    templates.filters["cut"] = lambda value, longest=40: cut_label("" if value is None else str(value), longest)
    templates.filters["lines"] = lambda value: visible_lines(str(value))
    templates.filters["at"] = lambda time: time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if time else ""
    templates.filters["duration"] = duration_text
    # `json_tree` has already escaped its values, and `visible` doesn't change the HTML around them.
    templates.filters["tree"] = lambda value, limit=300, **more: Markup(visible(json_tree(value, limit=limit, **more)))  # noqa: S704
    templates.filters["short"] = lambda value, longest=100: visible(short_json(value, longest))
    templates.filters["query"] = build_changed_query
    templates.filters["short_ids"] = map_run_ids_to_prefixes
    return templates


def build_changed_query(values: Mapping[str, Any], **changes: Any) -> str:
    """Build a query string from `values` with `changes` applied. Templates use it for links that change a parameter."""
    return build_query_string(**{**values, **changes}) or "?"
