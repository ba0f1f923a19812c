"""What the pages read of a run, without secret values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .site import Site

if TYPE_CHECKING:
    from stepflow_client import RunAccount, RunArguments, RunDetails, RunItem, StepDetails, StoredFlow
    from stepflow_client.drawing import RunReport
    from stepflow_client.drawing.charts import StepTime

MOST_DRAWN_ITEMS = 200
"""Maximum number of items whose steps are all read for a page."""
MOST_STEPS = 100


async def flow_of(site: Site, run: RunDetails) -> StoredFlow | None:
    """Return the flow of a run; None if the server does not have it."""
    from stepflow_client import NotFoundError, UnsupportedByServerError

    try:
        return await site.client.get_run_flow(run.run_id)
    except (NotFoundError, UnsupportedByServerError):
        return None


async def given_of(site: Site, run: RunDetails, stored: StoredFlow | None) -> RunArguments:
    """Return a run's arguments without secret values."""
    from stepflow_client.drawing.report_data import masked_arguments

    return masked_arguments(stored.flow if stored else {}, await site.arguments(run.run_id))


async def steps_of(site: Site, run: RunDetails, index: int | None = None) -> list[StepDetails]:
    """Return the steps of a run, or of one item; empty if the server does not tell them."""
    from stepflow_client import UnsupportedByServerError

    try:
        return (await site.client.get_run_steps(run.run_id, item_index=index)).steps
    except UnsupportedByServerError:
        return []


async def report_of(
    site: Site,
    run: RunDetails,
    items: list[RunItem],
    steps: list[StepDetails],
    stored: StoredFlow | None,
    *,
    is_timed: bool = True,
) -> RunReport:
    """Return what to show of a run, without secret values."""
    from stepflow_client.drawing import RunReport
    from stepflow_client.drawing.report_data import masked

    items, steps = masked(stored.flow if stored else {}, items, steps)
    times = []
    if is_timed and steps and (await site.client.server_info()).capabilities.get("events"):
        times = await (await site.followers.of(run.run_id)).times()
    return RunReport(run, items, steps, stored.without_secrets().flow if stored else {}, times)


def durations_of(report: RunReport) -> dict[str, StepTime]:
    """Return the times of the steps that ran, for a report of one item."""
    if len(report.items) != 1:
        return {}
    return {each.step_id: each for each in report.times if report.was_run(each)}


def account_of(report: RunReport) -> RunAccount | None:
    """Return the account of the only item of a report."""
    return next(iter(report.accounts.values()), None)
