"""Show two runs side by side, with their arguments and the states of their steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, RunArguments, RunDetails, RunDifference, StepAccount
from stepflow_client._command import ABSENT, find_value_changes
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.report_data import mask_differences
from stepflow_client.flows.expressions import format_path

from ..item_attempts import get_item_page_path
from ..item_page_data import ITEM_PAGE_PARTS, build_masked_report
from ..site_state import Site, get_site, parse_query_index_or_none

_MAX_STEPS = 500


@dataclass(frozen=True)
class ComparedSide:
    """One of the two items being compared. In a run with only one item, this is the run itself."""

    run: RunDetails
    index: int
    path: str
    status: str
    report: RunReport
    given: RunArguments
    input: Any
    """The item's input, or None if it isn't known."""

    def get_step_account(self, step_id: str) -> StepAccount | None:
        """Return the account of a step, or None if the run has no such step."""
        return self.report.step_accounts.get((self.index, step_id))

    def get_step_seconds(self, step_id: str) -> float | None:
        """Return how many seconds a step took, or None if this is unknown or the step wasn't executed."""
        account = self.get_step_account(step_id)
        if account is not None and account.is_kept:
            return None
        times = (time for time in self.report.times if (time.item_index, time.step_id) == (self.index, step_id))
        return next((time.duration for time in times if self.report.was_run(time)), None)

    def find_step_details(self, step_id: str) -> Any:
        """Return a step's details as reported by the server, or None if the server doesn't list the step."""
        steps = self.report.steps
        return next((step for step in steps if (step.item_index, step.step_id) == (self.index, step_id)), None)


async def compare_runs_page(request: Request) -> Response:
    """Show the differences between two runs, or between one item of each."""
    site, one = get_site(request), request.path_params["run_id"]
    other = request.query_params.get("with", "")
    if not other:
        return RedirectResponse(f"/runs/{one}", status_code=303)
    mine, theirs = (parse_query_index_or_none(request.query_params, name) for name in ("item", "with_item"))
    runs = [await site.read_run_details(run_id) for run_id in (other, one)]
    if mine is None and all(run.items.total == 1 for run in runs):
        mine = 0
    # The run in the path is the newer one, so it goes on the right.
    pair = None if mine is None else (mine if theirs is None else theirs, mine)
    compared = await site.client.compare_runs(*(run.run_id for run in runs), items=pair)
    # Mask the secrets of both flows, including any from the environment.
    differences = list(compared.every_difference)
    for run in (compared.a, compared.b):
        differences = mask_differences((await site.read_snapshot(run.run_id, "flow")).flow or {}, differences)
    compared = replace(compared, every_difference=differences)
    if pair is None:
        items: dict[int, list[RunDifference]] = {}
        for difference in compared.differences:
            if difference.item_index is not None:
                items.setdefault(difference.item_index, []).append(difference)
        rest = [difference for difference in compared.differences if difference.item_index is None]
        return site.render(request, "compare", compared=compared, batch=list(items.items())[:_MAX_STEPS], rest=rest)
    before, after = [await _read_compared_item(site, run, index) for run, index in zip(runs, pair, strict=True)]
    by_step: dict[str, list[RunDifference]] = {}
    rest = []
    for difference in compared.every_difference:
        if difference.step_id is None:
            rest.append(difference)
            continue
        differences = by_step.setdefault(difference.step_id, [])
        # Leave out statuses, because the headings already show them.
        if not difference.path.endswith(".status"):
            differences.append(difference)
    steps = list(dict.fromkeys(step_id for side in (after, before) for _, step_id in side.report.step_accounts))
    given = {
        name: _list_value_differences(getattr(before.given, name) or {}, getattr(after.given, name) or {})
        for name in ("variables", "overrides")
    }
    return site.render(
        request,
        "compare",
        before=before,
        after=after,
        compared=compared,
        given={"input": _list_value_differences(before.input, after.input), **given},
        flow=[difference for difference in rest if difference.path.startswith("$.flow")],
        ends=[difference for difference in rest if not difference.path.startswith(("$.flow", "$.status"))],
        steps=steps[:_MAX_STEPS],
        by_step=by_step,
        batch=None,
    )


async def _read_compared_item(site: Site, run: RunDetails, index: int) -> ComparedSide:
    snapshot = await site.read_snapshot(run.run_id, ITEM_PAGE_PARTS, index)
    items = snapshot.items or ()
    item = next((item for item in items if item.index == index), None)
    if item is None:
        raise InvalidArgumentError("one of the runs does not have this item")
    report = await build_masked_report(site, replace(snapshot, items=[item]))
    assert report.given is not None
    inputs = report.given.inputs
    value = inputs[index] if inputs is not None and len(inputs) == len(items) else None
    return ComparedSide(
        run, index, get_item_page_path(run.run_id, index, len(items)), item.status.value, report, report.given, value
    )


def _list_value_differences(before: Any, after: Any) -> list[RunDifference]:
    """Return the differences between two values in the form that `compare_runs` uses for outputs."""
    return [
        RunDifference(
            path=format_path(change.path) if change.path else "$",
            kind="added" if change.a is ABSENT else "removed" if change.b is ABSENT else "changed",
            a=None if change.a is ABSENT else change.a,
            b=None if change.b is ABSENT else change.b,
        )
        for change in find_value_changes(before, after)
    ]
