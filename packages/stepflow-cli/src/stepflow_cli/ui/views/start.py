"""Starting a flow: its form, and flows that are pasted or uploaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from stepflow_client import StepflowClientError
from stepflow_client._command import find_in
from stepflow_client.flows.file import parse_yaml
from stepflow_client.flows.needs import check_inputs
from stepflow_client.flows.source import FlowText

from ..field_texts import text_value
from ..forms import FormError, is_raw, refilled, value_of
from ..security import form_fields
from ..site import site_of
from .flows import form_of, show_flow

if TYPE_CHECKING:
    from stepflow_client import StoredFlow

_MAX_FINDINGS = 50


async def start(request: Request) -> Response:
    """Start a flow with the values that were filled in."""
    site, form = site_of(request), form_fields(request)
    stored = await site.in_order(await site.client.get_flow(request.path_params["flow_id"]))
    inputs, variables = form_of(stored)
    sent = {
        "raw": form.get("raw", "").replace("\r\n", "\n"),
        "is_batch": bool(form.get("batch")),
        "before": form.get("before"),
    }
    try:
        is_text = is_raw(inputs, form)
        given = text_value(form.get("raw", "")) if is_text else await run_in_threadpool(value_of, inputs, form)
    except FormError as error:
        return await show_flow(request, site, stored, 400, **sent, inputs=error.fields, wrong=str(error))
    except ValueError as error:
        return await show_flow(request, site, stored, 400, **sent, **_refilled(stored, form), wrong=f"input: {error}")
    if is_text and bool(form.get("batch")) != isinstance(given, list):
        if not isinstance(given, list):
            return await show_flow(request, site, stored, 400, **sent, wrong="input: a batch is a list of inputs")
        # A list is a single input.
        given = [given]
    try:
        await run_in_threadpool(check_inputs, stored.flow, given if isinstance(given, list) else [given])
        values = await run_in_threadpool(value_of, variables, form)
        earlier = form.get("overrides_of", "")
        overrides = (await site.arguments(earlier)).overrides if earlier else None
        run_id = await site.client.submit(stored.flow, given, overrides, variables=values or None)
    except FormError as error:
        return await show_flow(request, site, stored, 400, **sent, variables=error.fields, wrong=str(error))
    except StepflowClientError as error:
        return await show_flow(request, site, stored, 400, **sent, **_refilled(stored, form), wrong=error.message)
    site.remember_input(run_id, given)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


def _refilled(stored: StoredFlow, form: Mapping[str, str]) -> dict[str, Any]:
    inputs, variables = form_of(stored)
    return {"inputs": refilled(inputs, form), "variables": refilled(variables, form)}


async def new_page(request: Request) -> Response:
    """Show the form for a flow's text, with that of a file of the folder."""
    site, text = site_of(request), ""
    if site.flows is not None and "file" in request.query_params:
        file = await run_in_threadpool(site.flows.named, request.query_params["file"])
        text = file.path.read_text("utf-8-sig", "replace") if file is not None else ""
    return site.page(request, "new", text=text, findings=[], wrong="")


async def store(request: Request) -> Response:
    """Store a flow that was pasted or uploaded, and show it with its form."""
    site, form = site_of(request), form_fields(request)
    text = form.get("file", "") if form.get("file", "").strip() else form.get("text", "")
    try:
        flow = await run_in_threadpool(parse_yaml, text, "the flow")
        if not isinstance(flow, dict):
            return site.page(request, "new", 400, text=text, findings=[], wrong="a flow is a mapping")
        stored = await site.client.store_flow(flow)
    except StepflowClientError as error:
        findings = await run_in_threadpool(_findings, text)
        return site.page(request, "new", 400, text=text, findings=findings, wrong=error.message)
    return RedirectResponse(f"/flows/{stored.flow_id}", status_code=303)


async def check_flow(request: Request) -> Response:
    """Check a flow's text while it is being typed. Nothing is stored, and no server is queried."""
    text = form_fields(request).get("text", "")
    return JSONResponse({"findings": await run_in_threadpool(_findings, text) if text.strip() else []})


def _findings(text: str) -> list[dict[str, Any]]:
    try:
        found = find_in(FlowText(text.replace("\r\n", "\n"), "the flow"))
    except StepflowClientError as error:
        return [{"level": "fatal", "line": 1, "message": error.message, "hint": ""}]
    return [
        {"level": each.level, "line": each.line or 1, "message": each.message, "hint": each.hint or ""}
        for each in found[:_MAX_FINDINGS]
    ]
