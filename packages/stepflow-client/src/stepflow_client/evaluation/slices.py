"""Parts of the cases: a variant may be worse in one language only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._base.text import short_json
from ..types.shown import Record
from .records import EvaluationItem
from .scores import MISSING, part_at, path_of
from .statistics import holm
from .variant_comparison import Verdict, verdict_of

_TAGS = ("tags", "tag")


@dataclass(frozen=True, slots=True)
class SliceScore(Record):
    """A score of a variant, in the cases that have a tag or a value in common."""

    value: str
    """The tag, or the value of the field."""
    score: str
    variant: str
    cases: int
    """Number of cases with the score; of a change, those that have it in both variants."""
    mean: float
    change: float | None
    """The change from the first variant, or from the baseline; None for this one."""
    low: float | None
    """The lower end of the 95% interval of the change; None for fewer than five cases."""
    high: float | None
    verdict: Verdict | None
    """What the change is, corrected for the number of scores and slices by the method of Holm."""


class Selected:
    """The items of some cases.

    Args:
        items: All items; they are read each time.
        cases: The names of the cases.
    """

    def __init__(self, items: Iterable[EvaluationItem], cases: frozenset[str]) -> None:
        self._items, self._cases = items, cases

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        return (each for each in self._items if each.case in self._cases)


def cases_by(items: Iterable[EvaluationItem], field: str) -> dict[str, frozenset[str]]:
    """Return the names of the cases with each tag, or with each value of a field."""
    path = None if field in _TAGS else path_of(field)
    found: dict[str, set[str]] = {}
    seen = set[str]()
    for item in items:
        if item.case in seen:
            continue
        seen.add(item.case)
        for value in item.tags if path is None else _values(item, field, path):
            found.setdefault(value, set()).add(item.case)
    return {value: frozenset(found[value]) for value in sorted(found)}


def _values(item: EvaluationItem, field: str, path: Any) -> list[str]:
    value = item.metadata.get(field, MISSING)
    if value is MISSING:
        value = part_at(item.input, path)
    if value is MISSING:
        return []
    return [value if isinstance(value, str) else short_json(value, 60)]


def slice_scores(slices: Mapping[str, Any]) -> list[SliceScore]:
    """Return the scores of all variants in all slices."""
    compared = {
        (value, variant): report._compared(before, variant)
        for value, report in slices.items()
        for variant, before in report.baselines.items()
    }
    directions = holm(
        {
            (*key, each.score): partial(found.changes[each.score].direction)
            for key, found in compared.items()
            for each in found.comparison.scores
            if each.verdict is not None
        }
    )
    rows = []
    for value, report in slices.items():
        for mean in report.summary().means:
            found = compared.get((value, mean.variant))
            change = found and next((each for each in found.comparison.scores if each.score == mean.score), None)
            told: tuple[Any, ...] = (None,) * 4
            if found and change:
                direction = directions.get((value, mean.variant, mean.score))
                told = (change.change, change.low, change.high, verdict_of(change, direction))
            cases = change.cases if change else mean.cases
            rows.append(SliceScore(value, mean.score, mean.variant, cases, mean.mean, *told))
    return rows
