"""Flows that runs have used, and components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from stepflow_client._data.flow_declarations import is_secret

from ..field_texts import json_text
from ..flow_list import flow_list
from ..forms import Field, fields_of, filled, showing
from ..pictures import flow_lines, flow_picture
from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import StoredFlow

_MAX_COMPONENTS = 200


async def flows_page(request: Request) -> Response:
    """Show the flows with their last runs, those that steps run apart, and files that have not run."""
    site = site_of(request)
    wanted = request.query_params.get("q", "").strip()
    listed = await flow_list(site.client, site.history, site.flows, wanted)
    has_folder = site.flows is not None
    return site.page(request, "flows", listed=listed, wanted=wanted, has_folder=has_folder, live="/live/runs")


async def flow_page(request: Request) -> Response:
    """Show a flow, and the form that starts it."""
    site = site_of(request)
    stored = await site.in_order(await site.client.get_flow(request.path_params["flow_id"]))
    again = request.query_params.get("again", "")
    if again:
        return await _show_again(request, site, stored, again)
    values: dict[str, Any] = {}
    if request.query_params.get("example", "").isdecimal():
        index = int(request.query_params["example"][:6])
        values = {"input": stored.examples[index].input} if index < len(stored.examples) else {}
    elif stored.examples:
        values["input"] = stored.examples[0].input
    return await show_flow(request, site, stored, **values)


async def _show_again(request: Request, site: Site, stored: StoredFlow, run_id: str) -> Response:
    """Return the page of a flow, with its form filled with the arguments of an earlier run."""
    given = await site.arguments(run_id)
    values: dict[str, Any] = {"again": run_id, "is_known": given.inputs is not None}
    if given.inputs is not None:
        is_batch = len(given.inputs) != 1
        values |= {"input": given.inputs if is_batch else given.inputs[0], "is_batch": is_batch}
    fields = form_of(stored)[1]
    hidden = given.hidden
    known = {name: each for name, each in (given.variables or {}).items() if f"variables.{name}" not in hidden}
    values["variables"] = [filled(each, known[each.key]) if each.key in known else each for each in fields]
    values |= {"hidden": hidden, "overrides": None if "overrides" in hidden else given.overrides}
    return await show_flow(request, site, stored, **values)


async def show_flow(request: Request, site: Site, stored: StoredFlow, status: int = 200, **values: Any) -> Response:
    """Return the page of a flow.

    Args:
        request: The request.
        site: The site.
        stored: The flow.
        status: The status code.
        **values: `input`, the value to fill the form with; or the submitted values with their errors.
    """
    inputs, variables = form_of(stored)
    given = values.pop("input", None)
    if given is not None:
        # Values that fields cannot show are shown as JSON.
        inputs = showing(inputs, given)
    shown = stored.without_secrets().flow
    return site.page(
        request,
        "flow",
        status,
        stored=stored,
        flow=shown,
        lines=flow_lines(shown),
        picture=await run_in_threadpool(flow_picture, shown),
        **{
            "inputs": inputs,
            "variables": variables,
            "raw": json_text(given),
            "again": "",
            "is_known": False,
            "hidden": [],
            "overrides": None,
            "wrong": "",
            "is_batch": False,
            "before": None,
            **values,
        },
    )


def form_of(stored: StoredFlow) -> tuple[list[Field], list[Field]]:
    """Return the fields for a flow's input and variables; none for what a form cannot represent."""
    schemas = stored.flow.get("schemas")
    properties = schemas.get("properties") if isinstance(schemas, dict) else None
    if not isinstance(properties, dict):
        return [], []
    definitions = schemas.get("$defs") if isinstance(schemas, dict) else None
    definitions = definitions if isinstance(definitions, dict) else {}
    declared = properties.get("variables")
    known = declared.get("properties") if isinstance(declared, dict) else None
    hidden = [name for name, each in (known.items() if isinstance(known, dict) else ()) if is_secret(each)]
    return (
        fields_of(properties.get("input"), definitions),
        fields_of(declared, definitions, prefix="variable", secret=hidden),
    )


async def components_page(request: Request) -> Response:
    """Show the components of the server, with their schemas."""
    site = site_of(request)
    components = await site.client.list_components()
    wanted = request.query_params.get("q", "").strip().lower()
    found = [
        each
        for each in sorted(components, key=lambda each: (each.plugin or "", each.name))
        if wanted in f"{each.path or each.name} {each.plugin or ''} {each.description or ''}".lower()
    ]
    return site.page(
        request,
        "components",
        components=found[:_MAX_COMPONENTS],
        total=len(found),
        wanted=request.query_params.get("q", ""),
        failed=components.failed_plugins,
    )
