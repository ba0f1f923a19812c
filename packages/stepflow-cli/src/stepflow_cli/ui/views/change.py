"""Change a run and rerun it: preview the plan, try the change on one item, or run it for a whole group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import NotFoundError, RerunPlan, StepflowClientError, StoredFlow
from stepflow_client._command import group_failures
from stepflow_client.drawing.report_data import mask_arguments

from ..change_form import ChangeForm, InvalidChangeError, ItemsToChange, make_rerun_arguments, prefill_form, refill_form
from ..security import get_accepted_form
from ..site_state import Site, build_changed_query, get_site
from .actions import redirect_to_started_runs
from .flows import build_flow_fields


async def change_form_page(request: Request) -> Response:
    """Show the form for changing a run."""
    site = get_site(request)
    subject = await _read_items_to_change(site, request.path_params["run_id"], request.query_params)
    tried = request.query_params.get("tried", "")
    sent = site.trials.get(tried)
    form = prefill_form(subject) if sent is None else refill_form(subject, sent)
    return await _render_form(request, site, subject, form, tried=tried if sent is not None else "")


async def plan_or_run_change(request: Request) -> Response:
    """Plan or run a change. The form's `do` field is `plan`, `try` (which runs the change on one item) or `run`."""
    site, form = get_site(request), get_accepted_form(request)
    subject = await _read_items_to_change(site, request.path_params["run_id"], form)
    tried = form.get("tried", "") if form.get("tried") in site.trials else ""
    try:
        # Pages never echo secrets, so use the ones entered for the trial if any are missing.
        earlier = site.trials.get(tried, {})
        secrets = {field.name for field in subject.fields[1] if field.kind == "secret" and not form.get(field.name)}
        entered = {**form, **{name: earlier[name] for name in secrets if name in earlier}}
        arguments = await run_in_threadpool(make_rerun_arguments, subject, entered)
        if form.get("do") == "plan":
            plan = await site.client.plan_rerun(subject.run.run_id, **arguments)
            return await _render_form(request, site, subject, refill_form(subject, form), plan=plan, tried=tried)
        if form.get("do") == "try":
            arguments["items"] = [subject.index]
        run_ids = [handle.run_id for handle in await site.client.start_rerun(subject.run.run_id, **arguments)]
    except InvalidChangeError as error:
        return await _render_form(request, site, subject, error.form, 400, problem=str(error), tried=tried)
    except StepflowClientError as error:
        problem = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
        return await _render_form(request, site, subject, refill_form(subject, form), 400, problem=problem, tried=tried)
    if form.get("do") != "try" or len(run_ids) != 1:
        return redirect_to_started_runs(site, [subject.run.run_id], run_ids)
    site.trials.put_newest(run_ids[0], dict(form))
    query = build_changed_query(subject.query_parameters, tried=run_ids[0])
    return RedirectResponse(f"/runs/{subject.run.run_id}/change{query}", status_code=303)


async def _read_items_to_change(site: Site, run_id: str, place: Mapping[str, str]) -> ItemsToChange:
    snapshot = await site.read_snapshot(run_id, ("items", "flow", "arguments"))
    run, items, given = snapshot.details, snapshot.items or (), snapshot.arguments
    assert given is not None
    stored = StoredFlow(flow_id=run.flow_id, flow=dict(snapshot.flow or {}))
    if given.inputs is not None and len(given.inputs) != len(items):
        given = replace(given, inputs=None)
    key, text, group = place.get("group", ""), place.get("item") or "0", None
    if key:
        group = next((failure_group for failure_group in group_failures(items) if failure_group.key == key), None)
        if group is None:
            raise NotFoundError(f"run {run.run_id} has no such group of failed items", status_code=404)
    index = int(text) if text.isdecimal() and len(text) < 8 else -1
    index = group.indexes[0] if group is not None else index
    if not 0 <= index < len(items):
        raise NotFoundError(f"run {run.run_id} has no item {text}", status_code=404)
    step = place.get("step", "")
    masked, fields = mask_arguments(stored.flow, given), build_flow_fields(stored)
    subject = ItemsToChange(run, stored, given, masked, fields, len(items), index, group, step)
    if step and step not in subject.steps_after_overrides:
        raise NotFoundError(f"the flow has no step {step}", status_code=404)
    return subject


async def _render_form(
    request: Request,
    site: Site,
    subject: ItemsToChange,
    form: ChangeForm,
    status: int = 200,
    *,
    plan: RerunPlan | None = None,
    problem: str = "",
    tried: str = "",
) -> Response:
    trial = await site.client.get_run(tried) if tried else None
    # Group the items that keep and execute the same steps, and count how many there are in each group.
    ways = Counter((tuple(item.kept), tuple(item.executed)) for item in plan.items) if plan is not None else Counter()
    parts = [{"kept": kept, "executed": executed, "count": count} for (kept, executed), count in ways.most_common(20)]
    if not subject.run.is_finished:
        problem = problem or f"The run has not ended; it is {subject.run.status.value}."
    return site.render(
        request,
        "change",
        status,
        subject=subject,
        run=subject.run,
        form=form,
        inputs=form.inputs,
        variables=form.variables,
        raw=form.raw,
        before=form.before,
        is_batch=None,
        plan=plan,
        parts=parts,
        problem=problem,
        trial=trial,
        live="" if trial is None or trial.is_finished else f"/live/runs/{trial.run_id}",
    )
