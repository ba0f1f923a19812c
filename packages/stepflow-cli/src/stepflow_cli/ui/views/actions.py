"""Views that change something on the server. The guard has already accepted the form's token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..forms import FormError, text_value, value_of
from ..site import Site, site_of
from .flows import form_of, show_flow

if TYPE_CHECKING:
    from stepflow_client import StepflowClientError, StoredFlow

_MOST_FINDINGS = 50
_MOST_RERUNS = 50


def _form(request: Request) -> Mapping[str, str]:
    form = request.scope["stepflow.form"]
    assert isinstance(form, Mapping)
    return form


async def cancel(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await site_of(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


# Starting a flow


async def start(request: Request) -> Response:
    """Start a flow with the values that were filled in."""
    from stepflow_client import StepflowClientError

    site, form = site_of(request), _form(request)
    stored = await site.client.get_flow(request.path_params["flow_id"])
    inputs, variables = form_of(stored)
    is_raw = form.get("mode") == "raw" or not inputs
    sent = {"raw": form.get("raw", ""), "is_batch": bool(form.get("batch"))}
    try:
        given = text_value(form.get("raw", "")) if is_raw else value_of(inputs, form)
    except FormError as error:
        return await show_flow(request, site, stored, 400, **sent, inputs=error.fields, wrong=str(error))
    except ValueError as error:
        return await show_flow(request, site, stored, 400, **sent, wrong=f"input: {error}")
    if is_raw and bool(form.get("batch")) != isinstance(given, list):
        if not isinstance(given, list):
            return await show_flow(request, site, stored, 400, **sent, wrong="input: a batch is a list of inputs")
        # A list is a single input.
        given = [given]
    try:
        values = value_of(variables, form)
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
    from dataclasses import replace

    inputs, variables = form_of(stored)
    return {
        name: [replace(each, value="" if each.kind == "secret" else form.get(each.name, "")) for each in fields]
        for name, fields in (("inputs", inputs), ("variables", variables))
    }


# Flows as text


async def new_page(request: Request) -> Response:
    """Show the form for a flow's text."""
    return site_of(request).page(request, "new", text="", findings=[], wrong="")


async def store(request: Request) -> Response:
    """Store a flow that was pasted or uploaded, and show it with its form."""
    from stepflow_client import StepflowClientError
    from stepflow_client.flows.file import parse_yaml

    site, form = site_of(request), _form(request)
    text = form.get("file", "") if form.get("file", "").strip() else form.get("text", "")
    try:
        flow = parse_yaml(text, "the flow")
        if not isinstance(flow, dict):
            return site.page(request, "new", 400, text=text, findings=[], wrong="a flow is a mapping")
        stored = await site.client.store_flow(flow)
    except StepflowClientError as error:
        findings = _findings(text)
        return site.page(request, "new", 400, text=text, findings=findings, wrong=error.message)
    return RedirectResponse(f"/flows/{stored.flow_id}", status_code=303)


async def check_flow(request: Request) -> Response:
    """Check a flow's text while it is being typed. Nothing is stored, and no server is queried."""
    text = _form(request).get("text", "")
    return JSONResponse({"findings": _findings(text) if text.strip() else []})


def _findings(text: str) -> list[dict[str, Any]]:
    from stepflow_client import StepflowClientError
    from stepflow_client.flows.checker import find_in
    from stepflow_client.flows.source import FlowText

    try:
        found = find_in(FlowText(text.replace("\r\n", "\n"), "the flow"))
    except StepflowClientError as error:
        return [{"level": "fatal", "line": 1, "message": error.message, "hint": ""}]
    return [
        {"level": each.level, "line": each.line or 1, "message": each.message, "hint": each.hint or ""}
        for each in found[:_MOST_FINDINGS]
    ]


# Running again


@dataclass
class _Rerun:
    """A rerun in the background."""

    run_id: str
    task: asyncio.Task[None] | None = None
    run_ids: list[str] = field(default_factory=list)
    error: StepflowClientError | None = None
    is_done: bool = False


async def rerun(request: Request) -> Response:
    """Run the failed parts of a run again; the outputs of completed steps are kept."""
    site, run_id = site_of(request), request.path_params["run_id"]
    key = secrets.token_urlsafe(8)
    again = site.reruns[key] = _Rerun(run_id)
    again.task = asyncio.create_task(_run_again(site, again))
    if len(site.reruns) > _MOST_RERUNS:
        oldest = next(iter(site.reruns.values()))
        if oldest.is_done:
            del site.reruns[next(iter(site.reruns))]
    # Most errors occur immediately.
    await asyncio.wait([again.task], timeout=0.5)
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def _run_again(site: Site, again: _Rerun) -> None:
    from stepflow_client import StepflowClientError

    try:
        again.run_ids = (await site.client.rerun(again.run_id, failed=True)).run_ids
    except StepflowClientError as error:
        again.error = error
    finally:
        again.is_done = True


async def rerun_page(request: Request) -> Response:
    """Show the state of a rerun, or redirect to its run if there is one."""
    from stepflow_client import NotFoundError

    site = site_of(request)
    again = site.reruns.get(request.path_params["key"])
    if again is None:
        raise NotFoundError("no run was run again under this address", status_code=404)
    if len(again.run_ids) == 1:
        return RedirectResponse(f"/runs/{again.run_ids[0]}", status_code=303)
    live = "" if again.is_done else f"/live/reruns/{request.path_params['key']}"
    return site.page(request, "rerun", again=again, live=live)
