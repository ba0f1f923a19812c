"""Two runs side by side: what they were started with, and what became of each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, RunDifference
from stepflow_client._command import ABSENT, value_changes
from stepflow_client.drawing.report_data import masked_differences
from stepflow_client.flows.expressions import write_path

from ..attempts import path_of
from ..reports import PARTS, report_of
from ..site import Site, index_in, site_of

if TYPE_CHECKING:
    from stepflow_client import RunArguments, RunComparison, RunDetails
    from stepflow_client.drawing import RunReport

_MAX_STEPS = 500


@dataclass(frozen=True)
class Side:
    """One of the two runs, or one item of it."""

    run: RunDetails
    index: int
    path: str
    status: str
    report: RunReport
    given: RunArguments
    input: Any
    """The input of the item; None if it is not known."""

    def state(self, step_id: str) -> str:
        """Return what became of a step, in words; empty if the run has no such step."""
        account = self.report.step_accounts.get((self.index, step_id))
        return "" if account is None else account.text

    def kind(self, step_id: str) -> str:
        """Return the state of a step; empty if the run has no such step."""
        account = self.report.step_accounts.get((self.index, step_id))
        return "" if account is None else account.state

    def seconds(self, step_id: str) -> float | None:
        """Return how long a step took; None if that is not known, or if it was not executed."""
        account = self.report.step_accounts.get((self.index, step_id))
        if account is not None and account.is_kept:
            return None
        times = (each for each in self.report.times if (each.item_index, each.step_id) == (self.index, step_id))
        return next((each.duration for each in times if self.report.was_run(each)), None)

    def step(self, step_id: str) -> Any:
        """Return a step as it is listed; None if it is not."""
        steps = self.report.steps
        return next((each for each in steps if (each.item_index, each.step_id) == (self.index, step_id)), None)


async def compare_page(request: Request) -> Response:
    """Show the differences of two runs, or of an item of each."""
    site, one = site_of(request), request.path_params["run_id"]
    other = request.query_params.get("with", "")
    if not other:
        return RedirectResponse(f"/runs/{one}", status_code=303)
    mine, theirs = (index_in(request.query_params, name) for name in ("item", "with_item"))
    runs = [await site.run(each) for each in (other, one)]
    if mine is None and all(run.items.total == 1 for run in runs):
        mine = 0
    # The run of the path is the newer one: it is on the right.
    pair = None if mine is None else (mine if theirs is None else theirs, mine)
    compared = await site.client.compare_runs(*(run.run_id for run in runs), items=pair)
    compared = await _without_secrets(site, compared)
    if pair is None:
        return _show_batches(request, site, compared)
    sides = [await _side(site, run, index) for run, index in zip(runs, pair, strict=True)]
    if any(each is None for each in sides):
        raise InvalidArgumentError("one of the runs has no such item")
    return _show(request, site, compared, [each for each in sides if each is not None])


async def _without_secrets(site: Site, compared: RunComparison) -> RunComparison:
    """Return a comparison without the secrets of both flows, including those from the environment."""
    found = list(compared.every_difference)
    for run in (compared.a, compared.b):
        found = masked_differences((await site.read(run.run_id, "flow")).flow or {}, found)
    return replace(compared, every_difference=found)


async def _side(site: Site, run: RunDetails, index: int) -> Side | None:
    snapshot = await site.read(run.run_id, PARTS, index)
    items = snapshot.items or ()
    item = next((each for each in items if each.index == index), None)
    if item is None:
        return None
    report = await report_of(site, replace(snapshot, items=[item]))
    given = report.given
    assert given is not None
    inputs = given.inputs
    known = inputs is not None and len(inputs) == len(items)
    path = path_of(run.run_id, index, len(items))
    return Side(run, index, path, item.status.value, report, given, inputs[index] if known and inputs else None)


def _show(request: Request, site: Site, compared: RunComparison, sides: list[Side]) -> Response:
    before, after = sides
    by_step: dict[str, list[RunDifference]] = {}
    rest = []
    for each in compared.every_difference:
        if each.step_id is not None and each.path.endswith(".status"):
            # The states are in the headings.
            by_step.setdefault(each.step_id, [])
        elif each.step_id is not None:
            by_step.setdefault(each.step_id, []).append(each)
        else:
            rest.append(each)
    steps = list(dict.fromkeys(step_id for each in (after, before) for _, step_id in each.report.step_accounts))
    given = {
        name: _differences(getattr(before.given, name) or {}, getattr(after.given, name) or {})
        for name in ("variables", "overrides")
    }
    return site.page(
        request,
        "compare",
        before=before,
        after=after,
        compared=compared,
        given={"input": _differences(before.input, after.input), **given},
        flow=[each for each in rest if each.path.startswith("$.flow")],
        ends=[each for each in rest if not each.path.startswith(("$.flow", "$.status"))],
        steps=steps[:_MAX_STEPS],
        by_step=by_step,
        batch=None,
    )


def _show_batches(request: Request, site: Site, compared: RunComparison) -> Response:
    items: dict[int, list[RunDifference]] = {}
    for each in compared.differences:
        if each.item_index is not None:
            items.setdefault(each.item_index, []).append(each)
    return site.page(
        request,
        "compare",
        compared=compared,
        batch=list(items.items())[:_MAX_STEPS],
        rest=[each for each in compared.differences if each.item_index is None],
    )


def _differences(before: Any, after: Any) -> list[RunDifference]:
    """Return where two values differ, as `compare_runs` does for outputs."""
    return [
        RunDifference(
            path=write_path(each.path) if each.path else "$",
            kind="added" if each.a is ABSENT else "removed" if each.b is ABSENT else "changed",
            a=None if each.a is ABSENT else each.a,
            b=None if each.b is ABSENT else each.b,
        )
        for each in value_changes(before, after)
    ]
