"""How runs belong together: a step and the runs it created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepflow_client import NotFoundError
from stepflow_client.flows.graph import inner_flow, steps_by_id

from .item_urls import ItemUrls
from .site import Site

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepDetails

_MAX_SUB_RUNS = 100


async def sub_runs_of(site: Site, run: RunDetails) -> list[RunDetails]:
    """Return the runs that steps of a run created, at most 100, oldest first."""
    found = await site.client.list_runs(None, _MAX_SUB_RUNS, parent_run_id=run.run_id)
    return list(reversed(found.runs))


async def creator_url(site: Site, run: RunDetails) -> tuple[str, str] | None:
    """Return the URL of the step that created a sub-run, and its id; None if it is not known."""
    if run.parent_run_id is None:
        return None
    try:
        parent = await site.read(run.parent_run_id, ("flow", "steps"))
    except NotFoundError:
        return None
    step_id = creator_of(run, parent.flow or {}, parent.steps or ())
    if step_id is None or parent.details.items.total != 1:
        # Of a batch, it is not known which item the step belongs to.
        return None
    return ItemUrls(parent.run_id, 0, is_batch=False).step(step_id), step_id


def creator_of(run: RunDetails, flow: Mapping[str, Any], steps: Sequence[StepDetails]) -> str | None:
    """Return the step that created a sub-run; None if several may have.

    Servers do not tell it. The output of `/builtin/eval` names the run; otherwise the step is known if only one of the
    steps that were executed runs a flow, or a flow of this name.

    Args:
        run: The sub-run.
        flow: The flow of the run that it belongs to.
        steps: The steps of that run.
    """
    for each in steps:
        if isinstance(each.output, Mapping) and each.output.get("run_id") == run.run_id:
            return each.step_id
    started = {each.step_id for each in steps}
    holders = {name: inner_flow(step) for name, step in steps_by_id(flow).items() if name in started}
    found = {name: inner.flow for name, inner in holders.items() if inner is not None}
    if len(found) > 1:
        names = {name: flow.get("name") if isinstance(flow, Mapping) else None for name, flow in found.items()}
        found = {name: found[name] for name, flow_name in names.items() if flow_name == run.flow_name}
    return next(iter(found)) if len(found) == 1 else None
