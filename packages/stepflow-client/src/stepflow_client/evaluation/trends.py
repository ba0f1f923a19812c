"""The scores of several evaluations in one folder, over time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from .._data.arguments import check_integer, file_path
from ..errors import InvalidArgumentError
from ..types.models import Record
from .report import EvaluationReport
from .report_text import format_interval, format_number
from .store import EvaluationStore

TREND_HEADS = ("score", "variant", "evaluation", "began", "cases", "mean", "95% interval")


@dataclass(frozen=True, slots=True)
class TrendPoint(Record):
    """The mean of a score of a variant in one of several evaluations."""

    name: str
    """The name of the evaluation's folder."""
    began: datetime
    """When the evaluation began."""
    score: str
    variant: str
    cases: int
    """Number of cases with a score."""
    mean: float
    low: float | None
    """The lower end of the 95% interval of the mean; None for fewer than five cases."""
    high: float | None


def trend(folder: str | os.PathLike[str], *, limit: int = 10) -> list[TrendPoint]:
    """Return the means of all scores in the newest evaluations below a folder, by score and variant, the oldest first.

    Args:
        folder: The folder whose subfolders have the evaluations.
        limit: Maximum number of evaluations. Default 10.

    Raises:
        InvalidArgumentError: If no entry has an evaluation.
        JournalError: If an evaluation cannot be read.
    """
    path = file_path(folder, "folder")
    check_integer(limit, "limit", least=1)
    began = {}
    for entry in sorted(path.iterdir() if path.is_dir() else ()):
        if EvaluationStore.exists(entry):
            with EvaluationStore(entry) as store:
                # An evaluation whose cases are invalid leaves a folder, and has not begun.
                if moment := store.value("began"):
                    began[entry] = datetime.fromisoformat(moment)
    if not began:
        raise InvalidArgumentError(f"no folder in {path} has an evaluation")
    newest = sorted(began, key=began.__getitem__)[-limit:]
    points = [
        TrendPoint(entry.name, began[entry], mean.score, mean.variant, mean.cases, mean.mean, mean.low, mean.high)
        for entry in newest
        for mean in EvaluationReport.load(entry).summary().means
    ]
    order = {key: place for place, key in enumerate(dict.fromkeys((point.score, point.variant) for point in points))}
    return sorted(points, key=lambda point: order[point.score, point.variant])


def trend_cells(point: TrendPoint) -> tuple[str, ...]:
    """Return the cells of a score in one of several evaluations, under `TREND_HEADS`."""
    began = f"{point.began.astimezone():%Y-%m-%d %H:%M}"
    interval = format_interval(point.low, point.high, scale=point.mean)
    return point.score, point.variant, point.name, began, f"{point.cases:,}", format_number(point.mean), interval
