"""Show flows and components, and the forms for starting, pasting or uploading a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from stepflow_client import StepflowClientError, StoredFlow
from stepflow_client._command import check_source, write_yaml
from stepflow_client._data.flow_declarations import get_declared_schema, get_defs, get_variable_declarations
from stepflow_client.drawing.report_data import mask_arguments
from stepflow_client.flows.reading import parse_yaml
from stepflow_client.flows.run_requirements import check_inputs
from stepflow_client.flows.syntax_tree import FlowText

from ...inputs.flow_loading import sort_flow_keys
from ..flows_page_data import build_flows_page_contents
from ..graphs_and_timelines import draw_flow_graph
from ..schema_forms import (
    Field,
    InvalidFormError,
    build_schema_fields,
    fill_field,
    fill_fields_from_object,
    format_editable_json,
    parse_json_or_yaml,
    parse_submitted_object,
    reject_masked_value,
    restore_submitted_texts,
    should_parse_text_instead_of_fields,
)
from ..security import get_accepted_form
from ..site_state import Site, get_site

_MAX_COMPONENTS = 200
_MAX_FINDINGS = 50


async def flows_page(request: Request) -> Response:
    """Show flows with their latest runs, flows that ran as sub-runs, and flow files that haven't run yet."""
    site = get_site(request)
    text = request.query_params.get("q", "").strip()
    listed = await build_flows_page_contents(site.client, site.history, site.flows, text)
    return site.render(request, "flows", listed=listed, text=text, has_folder=bool(site.flows), live="/live/runs")


async def flow_page(request: Request) -> Response:
    """Show a flow, with a form for starting it."""
    site = get_site(request)
    stored = await site.restore_key_order_from_blob(await site.client.get_flow(request.path_params["flow_id"]))
    query, values = request.query_params, dict[str, Any]()
    if query.get("again"):
        # Fill in the form with the arguments of an earlier run.
        given = mask_arguments(stored.flow, await site.read_run_arguments(query["again"]))
        values = {"again": query["again"], "is_known": given.inputs is not None, "hidden": given.hidden}
        if given.inputs is not None:
            is_batch = len(given.inputs) != 1
            values |= {"input": given.inputs if is_batch else given.inputs[0], "is_batch": is_batch}
        variables, fields = given.variables or {}, build_flow_fields(stored)[1]
        known = {name: variable for name, variable in variables.items() if f"variables.{name}" not in given.hidden}
        values["variables"] = [fill_field(field, known[field.key]) if field.key in known else field for field in fields]
        values["overrides"] = None if "overrides" in given.hidden else given.overrides
    elif query.get("example", "").isdecimal():
        index = int(query["example"][:6])
        values = {"input": stored.examples[index].input} if index < len(stored.examples) else {}
    elif stored.examples:
        values["input"] = stored.examples[0].input
    return await _render_flow_page(request, site, stored, **values)


async def _render_flow_page(
    request: Request, site: Site, stored: StoredFlow, status: int = 200, **values: Any
) -> Response:
    """Render a flow's page. The form shows `input` if set, or else the submitted values with their errors."""
    inputs, variables = build_flow_fields(stored)
    given = values.pop("input", None)
    if given is not None:
        # Fall back to JSON if the fields can't show the value.
        inputs = fill_fields_from_object(inputs, given)
    shown = stored.without_secrets().flow
    return site.render(
        request,
        "flow",
        status,
        stored=stored,
        flow=shown,
        lines=format_sorted_flow_yaml_lines(shown),
        picture=await run_in_threadpool(draw_flow_graph, shown),
        **{
            "inputs": inputs,
            "variables": variables,
            "raw": format_editable_json(given),
            "again": "",
            "is_known": False,
            "hidden": [],
            "overrides": None,
            "problem": "",
            "is_batch": False,
            "before": None,
            **values,
        },
    )


def build_flow_fields(stored: StoredFlow) -> tuple[list[Field], list[Field]]:
    """Return the fields for a flow's input and variables. Either list is empty if a form can't represent it."""
    definitions = get_defs(stored.flow.get("schemas"))
    input, variables = (get_declared_schema(stored.flow, part) for part in ("input", "variables"))
    secret = [name for name, each in get_variable_declarations(stored.flow).items() if each["is_secret"]]
    variable_fields = build_schema_fields(variables, definitions, prefix="variable", secret=secret)
    return build_schema_fields(input, definitions), variable_fields


def format_sorted_flow_yaml_lines(flow: Mapping[str, Any]) -> list[str]:
    """Format a flow as lines of YAML. Keys are sorted, because servers return them in a different order every time."""
    return write_yaml(sort_flow_keys(flow)).splitlines()


async def start_flow(request: Request) -> Response:
    """Start a run of a flow with the submitted values."""
    site, form = get_site(request), get_accepted_form(request)
    stored = await site.restore_key_order_from_blob(await site.client.get_flow(request.path_params["flow_id"]))
    inputs, variables = build_flow_fields(stored)
    raw = form.get("raw", "").replace("\r\n", "\n")
    sent = {"raw": raw, "is_batch": bool(form.get("batch")), "before": form.get("before")}

    async def render_with_problem(problem: object, **values: Any) -> Response:
        return await _render_flow_page(request, site, stored, 400, **sent, **values, problem=str(problem))

    filled_in = {"inputs": restore_submitted_texts(inputs, form), "variables": restore_submitted_texts(variables, form)}
    try:
        is_text = should_parse_text_instead_of_fields(inputs, form)
        given = (
            parse_json_or_yaml(form.get("raw", ""))
            if is_text
            else await run_in_threadpool(parse_submitted_object, inputs, form)
        )
        reject_masked_value(given, stored.flow)
    except InvalidFormError as error:
        return await render_with_problem(error, inputs=error.fields)
    except ValueError as error:
        return await render_with_problem(f"input: {error}", **filled_in)
    if is_text and bool(form.get("batch")) != isinstance(given, list):
        if not isinstance(given, list):
            return await render_with_problem("input: a batch is a list of inputs")
        # Wrap the list, because otherwise it would be mistaken for a batch.
        given = [given]
    try:
        await run_in_threadpool(check_inputs, stored.flow, given if isinstance(given, list) else [given])
        values = await run_in_threadpool(parse_submitted_object, variables, form)
        earlier = form.get("overrides_of", "")
        overrides = (await site.read_run_arguments(earlier)).overrides if earlier else None
        run_id = await site.client.submit(stored.flow, given, overrides, variables=values or None)
    except InvalidFormError as error:
        return await render_with_problem(error, variables=error.fields)
    except StepflowClientError as error:
        return await render_with_problem(error.message, **filled_in)
    site.inputs.put_newest(run_id, given)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


async def components_page(request: Request) -> Response:
    """Show the server's components and their schemas."""
    site = get_site(request)
    components = await site.client.list_components()
    text = request.query_params.get("q", "")
    matches = []
    for component in sorted(components, key=lambda component: (component.plugin or "", component.name)):
        words = (component.path or component.name, component.plugin or "", component.description or "")
        if text.strip().lower() in " ".join(words).lower():
            matches.append(component)
    shown, failed = matches[:_MAX_COMPONENTS], components.failed_plugins
    return site.render(request, "components", components=shown, total=len(matches), text=text, failed=failed)


async def new_flow_page(request: Request) -> Response:
    """Show the form for a new flow, optionally filled in from a file in the folder."""
    site, text = get_site(request), ""
    if site.flows is not None and "file" in request.query_params:
        file = await run_in_threadpool(site.flows.find_file_by_relative_path, request.query_params["file"])
        text = file.path.read_text("utf-8-sig", "replace") if file is not None else ""
    return site.render(request, "new", text=text, findings=[], problem="")


async def store_flow(request: Request) -> Response:
    """Store a flow that was pasted or uploaded, and redirect to its page."""
    site, form = get_site(request), get_accepted_form(request)
    text = form.get("file", "") if form.get("file", "").strip() else form.get("text", "")
    try:
        flow = await run_in_threadpool(parse_yaml, text, "the flow")
        if not isinstance(flow, dict):
            return site.render(request, "new", 400, text=text, findings=[], problem="a flow must be a mapping")
        stored = await site.client.store_flow(flow)
    except StepflowClientError as error:
        findings = await run_in_threadpool(_list_flow_findings, text)
        return site.render(request, "new", 400, text=text, findings=findings, problem=error.message)
    return RedirectResponse(f"/flows/{stored.flow_id}", status_code=303)


async def check_flow_while_typing(request: Request) -> Response:
    """Check a flow while the user is typing it, without storing it or sending it to the server."""
    text = get_accepted_form(request).get("text", "")
    return JSONResponse({"findings": await run_in_threadpool(_list_flow_findings, text) if text.strip() else []})


def _list_flow_findings(text: str) -> list[dict[str, Any]]:
    try:
        findings = check_source(FlowText(text.replace("\r\n", "\n"), "the flow"))
    except StepflowClientError as error:
        return [{"level": "fatal", "line": 1, "message": error.message, "hint": ""}]
    return [
        {"level": finding.level, "line": finding.line or 1, "message": finding.message, "hint": finding.hint or ""}
        for finding in findings[:_MAX_FINDINGS]
    ]
