"""How runs belong together: a step and the runs it created, and the attempts at an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepflow_client import NotFoundError, RunDetails, StepDetails, StepflowClientError
from stepflow_client.flows.graph import inner_flow, steps_by_id

from .item_urls import ItemUrls
from .site import Site

_MAX_ATTEMPTS = 50


async def find_creator(site: Site, run: RunDetails) -> tuple[str, str] | None:
    """Return the URL of the step that created a sub-run, and its id; None if it is not known."""
    if run.parent_run_id is None:
        return None
    try:
        parent = await site.read(run.parent_run_id, ("flow", "steps"))
    except NotFoundError:
        return None
    step_id = infer_creator(run, parent.flow or {}, parent.steps or ())
    if step_id is None or parent.details.items.total != 1:
        # Of a batch, it is not known which item the step belongs to.
        return None
    return ItemUrls(parent.run_id, 0, is_batch=False).step(step_id), step_id


def infer_creator(run: RunDetails, flow: Mapping[str, Any], steps: Sequence[StepDetails]) -> str | None:
    """Return the step that created a sub-run, from the flow and the steps of its parent; None if several may have.

    Servers do not report it. The output of `/builtin/eval` names the run; otherwise the step is known if only one of
    the steps that were executed runs a flow, or a flow of this name.
    """
    for step in steps:
        if isinstance(step.output, Mapping) and step.output.get("run_id") == run.run_id:
            return step.step_id
    executed = {step.step_id for step in steps}
    inner = {name: inner_flow(step) for name, step in steps_by_id(flow).items() if name in executed}
    flows = {name: flow.flow for name, flow in inner.items() if flow is not None}
    if len(flows) > 1:
        names = {name: flow.get("name") if isinstance(flow, Mapping) else None for name, flow in flows.items()}
        flows = {name: flows[name] for name, flow_name in names.items() if flow_name == run.flow_name}
    return next(iter(flows)) if len(flows) == 1 else None


@dataclass(frozen=True)
class Attempt:
    """One attempt at an item: the item of a run, or of one of its reruns."""

    run_id: str
    index: int
    """The position of the item in that run."""
    path: str
    """The path of its page."""
    status: str
    is_shown: bool
    """Whether it is the one whose page is shown."""


async def list_attempts(site: Site, run_id: str, index: int, total: int, status: str) -> list[Attempt]:
    """Return the attempts at an item that the history has, in the order of their start; at least the one shown.

    Args:
        site: The site.
        run_id: The run whose page is shown.
        index: The position of the item in it.
        total: The number of items of the run.
        status: The status of the item.
    """
    shown = Attempt(run_id, index, item_path(run_id, index, total), status, is_shown=True)
    first, visited = (run_id, index), set[str]()
    while first[0] not in visited:
        visited.add(first[0])
        entry = site.history.get(first[0])
        if entry is None or entry.rerun_of is None or first[1] >= len(entry.rerun_items):
            break
        first = entry.rerun_of, entry.rerun_items[first[1]]
    places = [first]
    for earlier_id, item in places:
        reruns = site.list_reruns(earlier_id, _MAX_ATTEMPTS)
        later = [(rerun.run_id, rerun.rerun_items.index(item)) for rerun in reruns if item in rerun.rerun_items]
        places += later[: _MAX_ATTEMPTS - len(places)]
    # The ids of runs begin with the time.
    places = sorted({*places, (run_id, index)})
    return [shown if place == (run_id, index) else await _read_attempt(site, *place) for place in places]


def item_path(run_id: str, index: int, total: int) -> str:
    """Return the path of the page of an item."""
    return f"/runs/{run_id}" if total == 1 else f"/runs/{run_id}/items/{index}"


async def _read_attempt(site: Site, run_id: str, index: int) -> Attempt:
    attempt = Attempt(run_id, index, f"/runs/{run_id}", "unknown", is_shown=False)
    try:
        run = (await site.read(run_id, ())).details
        if run.items.total == 1:
            return replace(attempt, status=run.status.value)
        items = (await site.read(run_id, "items")).items or ()
    except StepflowClientError:
        # It may have been deleted.
        return attempt
    status = next((item.status.value for item in items if item.index == index), "unknown")
    return replace(attempt, status=status, path=item_path(run_id, index, len(items)))
