"""The flow of a run, and reading two runs to compare them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import requests
from .._data.arguments import check_instances, wrong
from .._shared.gather import async_together
from ..errors import StepflowClientError
from ..flows.additions import Origin, as_written, origin_of
from ..flows.run_differences import RunContent, only_item, parse_patterns, run_differences
from ..types.comparison import RunComparison

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..types import ListItemsResponse, RunDetails
    from .core import Core


async def compare_runs(
    core: Core, run_ids: tuple[RunId, RunId], ignore: str | Iterable[str], items: tuple[int, int] | None
) -> RunComparison:
    """Return the differences between two runs, or between one item of each."""
    patterns = parse_patterns(ignore)
    pair = None if items is None else check_instances(items, "items", int)
    if pair is not None and len(pair) != 2:
        raise wrong("items", "two indexes: that of an item of the first run, and of one of the second run", items)
    contents = [partial(_content, core, requests.check_run_id(run_id)) for run_id in run_ids]
    # Requested beforehand; otherwise, both concurrent calls would request it.
    server = await core.connection.server()
    one, other = await async_together(contents, 2)
    if pair is not None:
        one, other = only_item(one, pair[0]), only_item(other, pair[1])
    return RunComparison(
        a=one.run,
        b=other.run,
        every_difference=run_differences(one, other, patterns),
        not_compared=("inputs",) if server.capabilities["step_outputs"] else ("inputs", "step outputs"),
    )


async def _content(core: Core, run_id: str) -> RunContent:
    run = await core.runs.get_run(run_id)
    listed: ListItemsResponse = await core.runs.get_run_items(run_id)
    steps = await core.runs.get_run_steps(run_id)
    flow, origin = await flow_of_run(core, run)
    kept = {} if origin is None else origin.kept
    return RunContent(run, flow, list(listed.items), list(steps.steps), kept)


class RunFlow(NamedTuple):
    """The flow of a run, and the origin of a rerun."""

    flow: dict[str, Any]
    origin: Origin | None


async def flow_of_run(core: Core, run: RunDetails) -> RunFlow:
    """Return the flow of a run with its integers; `get_run_flow` returns it with other paths and without integers."""
    try:
        stored = (await core.blobs.get_blob(run.flow_id)).data
    except StepflowClientError:
        stored = None
    if not isinstance(stored, dict):
        stored = await core.runs.stored_flow(run.run_id)
    return RunFlow(as_written(stored), origin_of(stored))
