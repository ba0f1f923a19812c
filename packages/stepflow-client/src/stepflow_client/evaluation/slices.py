"""Parts of the cases: a variant may be worse in one language only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._base.text import short_json
from ..types.shown import Record
from .records import EvaluationItem
from .scores import MISSING, find_part, parse_output_path
from .statistics import apply_holm
from .variant_comparison import ScoreChange, Verdict

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


def group_cases_by(items: Iterable[EvaluationItem], field: str) -> dict[str, frozenset[str]]:
    """Return the names of the cases with each tag, or with each value of a field."""
    path = None if field in _TAGS else parse_output_path(field)
    groups: dict[str, set[str]] = {}
    seen = set[str]()
    for item in items:
        if item.case in seen:
            continue
        seen.add(item.case)
        values = item.tags
        if path is not None:
            value = item.metadata.get(field, find_part(item.input, path))
            values = [] if value is MISSING else [value if isinstance(value, str) else short_json(value, 60)]
        for value in values:
            groups.setdefault(value, set()).add(item.case)
    return {value: frozenset(groups[value]) for value in sorted(groups)}


def slice_scores(slices: Mapping[str, Any]) -> list[SliceScore]:
    """Return the scores of all variants in all slices."""
    changes: dict[tuple[str, str, str], ScoreChange] = {}
    tests: dict[tuple[str, str, str], Callable[[float], int]] = {}
    for value, report in slices.items():
        for variant, before in report.baselines.items():
            compared = report._compare(before, variant)
            for score in compared.comparison.scores:
                changes[value, variant, score.score] = score
                if score.verdict is not None:
                    tests[value, variant, score.score] = compared.changes[score.score].direction
    directions = apply_holm(tests)
    rows = []
    for value, report in slices.items():
        for mean in report.summary().means:
            key = value, mean.variant, mean.score
            change = changes.get(key)
            if change is None:
                rows.append(SliceScore(value, mean.score, mean.variant, mean.cases, mean.mean, None, None, None, None))
                continue
            verdict = change.verdict
            if verdict not in (None, "equal") and not directions[key]:
                verdict = "unclear"
            numbers = change.change, change.low, change.high
            rows.append(SliceScore(value, mean.score, mean.variant, change.cases, mean.mean, *numbers, verdict))
    return rows
