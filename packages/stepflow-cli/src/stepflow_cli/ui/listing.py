"""The list of runs: read once for all pages that show it; an evaluation or a rerun chain is one row."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stepflow_client import RunDetails, StepflowClient
from stepflow_client.drawing.folding import worst_state
from stepflow_client.history import HistoryEntry

PAGE = 50
"""Runs or items per page: few enough to keep a page with a graph below 2,000 elements."""
_FRESH_SECONDS = 1.0
_MAX_LISTS = 100
# The label that `evaluate` gives to all of its runs.
_EVALUATION = "eval"
# Runs with the same evaluation's name that are further apart belong to different ones.
_MAX_PAUSE = timedelta(minutes=10)
_MAX_ATTEMPTS = 50


def build_filters(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the filters of a list of runs for the fields of a checked query."""
    return {
        "status": fields.get("status"),
        "flow_name": fields.get("flow"),
        "since": fields.get("since"),
        "until": fields.get("until"),
        "roots_only": "include" not in fields or None,
    }


class RunLists:
    """The lists of runs that pages show, each with its filters."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._locks: dict[object, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[object, tuple[float, list[RunDetails]]] = {}

    async def page(self, filters: Mapping[str, str], page: int) -> list[RunDetails]:
        """Return a page of runs, plus one more run if there is a next page."""
        listed = await self._client.list_runs(limit=PAGE + 1, offset=(page - 1) * PAGE, **build_filters(filters))
        return listed.runs

    async def newest(self, filters: Mapping[str, str]) -> list[RunDetails]:
        """Return the first page of runs. It is requested at most once per second, regardless of the open pages."""
        key = tuple(sorted(filters.items()))
        async with self._locks[key]:
            at, runs = self._newest.pop(key, (float("-inf"), []))
            if time.monotonic() - at > _FRESH_SECONDS:
                runs = await self.page(filters, 1)
                at = time.monotonic()
            # The most recently used list is last.
            self._newest[key] = at, runs
        if len(self._newest) > _MAX_LISTS:
            oldest = next(iter(self._newest))
            del self._newest[oldest], self._locks[oldest]
        return runs


@dataclass
class RunRow:
    """A row of the list."""

    run: RunDetails
    """The run, or the newest of several."""
    labels: Mapping[str, str] = field(default_factory=dict)
    others: list[RunDetails] = field(default_factory=list)
    """The older runs that have no row of their own."""
    key: str = ""
    """What the runs have in common, as the URL names it; empty for a single run."""
    is_open: bool = False
    """Whether the older runs have rows of their own."""
    is_inside: bool = False
    """Whether the row is one of several that were unfolded."""

    @property
    def is_evaluation(self) -> bool:
        """Whether the runs are those of an evaluation, not the attempts of a rerun chain."""
        return self.key.startswith(_EVALUATION)

    @property
    def counted(self) -> list[RunDetails]:
        """The runs whose items the row counts: all of a folded evaluation; of attempts, the newest."""
        return [self.run, *self.others] if self.is_evaluation and not self.is_open else [self.run]

    @property
    def shown_labels(self) -> Mapping[str, str]:
        """The labels to show: those of the run, or the one that all runs of a folded evaluation have."""
        if len(self.counted) == 1:
            return self.labels
        return {_EVALUATION: self.labels[_EVALUATION]}

    @property
    def items(self) -> dict[str, int]:
        """The number of items: `total`, `completed` and `failed`."""
        names = ("total", "completed", "failed")
        return {name: sum(getattr(run.items, name) for run in self.counted) for name in names}

    @property
    def status(self) -> str:
        """The status to show: the worst of the runs that are counted."""
        return worst_state(run.status.value for run in self.counted) or self.run.status.value


def build_run_rows(
    runs: Sequence[RunDetails], entries: Mapping[str, HistoryEntry], opened: str, *, folds: bool
) -> list[RunRow]:
    """Return the rows of a page of the list: without `folds`, or for the key `opened`, a row for each run."""
    rows: list[RunRow] = []
    heads: dict[str, RunRow] = {}
    for run in runs:
        entry = entries.get(run.run_id)
        labels = dict(entry.labels) if entry is not None else {}
        key = _fold_key(run, entries) if folds else ""
        head = heads.get(key) if key else None
        if head is not None and head.is_evaluation:
            last = (head.others or [head.run])[-1]
            if last.created_at and run.created_at and last.created_at - run.created_at > _MAX_PAUSE:
                head = None
        if head is None:
            rows.append(RunRow(run, labels, key=key, is_open=bool(key) and key == opened))
            heads[key] = rows[-1]
            continue
        head.others.append(run)
        if head.is_open:
            rows.append(RunRow(run, labels, key=key, is_open=True, is_inside=True))
    return rows


def _fold_key(run: RunDetails, entries: Mapping[str, HistoryEntry]) -> str:
    """Return the key of the evaluation or the rerun chain of a run; the first attempt names the chain."""
    entry, first = entries.get(run.run_id), run.run_id
    if entry is not None and _EVALUATION in entry.labels:
        return f"{_EVALUATION}:{entry.labels[_EVALUATION]}"
    for _ in range(_MAX_ATTEMPTS):
        if entry is None or entry.rerun_of is None:
            break
        first = entry.rerun_of
        entry = entries.get(first)
    return f"rerun:{first}"
