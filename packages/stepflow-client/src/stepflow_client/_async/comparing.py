"""Comparing two runs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from .._codec import requests
from .._concurrency.gather import async_gather
from .._data.arguments import check_instances, wrong
from .._runs.run_differences import only_item, parse_patterns, run_differences
from ..types.comparison import RunComparison

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from .snapshots import SnapshotReader


async def compare_runs(
    reader: SnapshotReader, run_ids: tuple[RunId, RunId], ignore: str | Iterable[str], items: tuple[int, int] | None
) -> RunComparison:
    """Return the differences between two runs, or between one item of each."""
    patterns = parse_patterns(ignore)
    pair = None if items is None else check_instances(items, "items", int)
    if pair is not None and len(pair) != 2:
        raise wrong("items", "two indexes: that of an item of the first run, and of one of the second run", items)
    reads = [partial(reader.read, requests.check_run_id(run_id), ("items", "steps", "flow")) for run_id in run_ids]
    # Requested beforehand; otherwise, both concurrent calls would request it.
    can = await reader.capabilities()
    one, other = await async_gather(reads, 2)
    if pair is not None:
        one, other = only_item(one, pair[0]), only_item(other, pair[1])
    return RunComparison(
        a=one.details,
        b=other.details,
        every_difference=run_differences(one, other, patterns),
        not_compared=("inputs",) if can["step_outputs"] else ("inputs", "step outputs"),
    )
