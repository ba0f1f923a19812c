"""The rows of the list of runs: runs of one evaluation are one row, and so are the attempts of a rerun chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from stepflow_client.drawing.folding import worst

if TYPE_CHECKING:
    from stepflow_client import RunDetails
    from stepflow_client.history import HistoryEntry

_EVALUATION = "eval"
"""The label that `evaluate` gives to all of its runs."""
_MAX_PAUSE = timedelta(minutes=10)
"""Runs with the same evaluation's name that are further apart belong to different ones."""
_MAX_ATTEMPTS = 50


@dataclass
class RunRow:
    """A row of the list."""

    run: RunDetails
    """The run, or the newest of several."""
    labels: Mapping[str, str] = field(default_factory=dict)
    others: list[RunDetails] = field(default_factory=list)
    """The older runs that have no row of their own."""
    key: str = ""
    """What the runs have in common, as the URL names it; empty for a run that stands alone."""
    is_open: bool = False
    """Whether the older runs have rows of their own after all."""
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
        return worst(run.status.value for run in self.counted) or self.run.status.value


def rows_of_runs(
    runs: Sequence[RunDetails], entries: Mapping[str, HistoryEntry], opened: str, *, folds: bool
) -> list[RunRow]:
    """Return the rows of a page of the list.

    Args:
        runs: The runs, newest first.
        entries: The recorded entries by run id.
        opened: The key of the runs that are shown with a row each.
        folds: Whether runs are folded at all.
    """
    rows: list[RunRow] = []
    heads: dict[str, RunRow] = {}
    for run in runs:
        entry = entries.get(run.run_id)
        labels = dict(entry.labels) if entry is not None else {}
        key = _key(run, entries) if folds else ""
        head = heads.get(key) if key else None
        if head is None or not _belongs(head, run):
            row = RunRow(run, labels, key=key, is_open=bool(key) and key == opened)
            rows.append(row)
            heads[key] = row
            continue
        head.others.append(run)
        if head.is_open:
            rows.append(RunRow(run, labels, key=key, is_open=True, is_inside=True))
    return rows


def _belongs(head: RunRow, run: RunDetails) -> bool:
    if not head.is_evaluation:
        return True
    last = (head.others or [head.run])[-1]
    return last.created_at is None or run.created_at is None or last.created_at - run.created_at <= _MAX_PAUSE


def _key(run: RunDetails, entries: Mapping[str, HistoryEntry]) -> str:
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
