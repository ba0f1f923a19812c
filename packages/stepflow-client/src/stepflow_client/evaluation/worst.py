"""The cases in which a variant is worst. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest

from ..types.shown import Record
from .columns import Column, Columns
from .records import EvaluationItem
from .variant_comparison import is_named


@dataclass(frozen=True, slots=True)
class WorstCase(Record):
    """A case in which a variant is worse than another one, or bad."""

    case: str
    score: str
    value: float | None
    """The score of the variant, as the mean over the repeats; None if it has none, because its items failed."""
    before: float | None
    """The score of the variant that it is compared with; None without one."""
    item: EvaluationItem
    """The worst repeat of the variant, with its run id."""
    compared: EvaluationItem | None = None
    """The first repeat of the variant that it is compared with."""

    @property
    def run_id(self) -> str | None:
        """The run of the variant."""
        return self.item.run_id


def worst_cases(
    items: Iterable[EvaluationItem],
    columns: Columns,
    limit: int,
    score: str,
    after: str,
    before: str | None,
    lower: frozenset[str],
) -> list[WorstCase]:
    """Return the cases in which a variant is worst, the worst first.

    Args:
        items: The items.
        columns: Their scores.
        limit: Maximum number of cases.
        score: The score.
        after: The variant.
        before: The variant that it is compared with; None for the cases with the worst scores.
        lower: The names of the scores of which low values are good.
    """
    sign = 1.0 if is_named(score, lower) else -1.0
    variant = columns.variants[after]
    column = variant.scores.get(score, Column())
    earlier = Column() if before is None else columns.variants[before].scores.get(score, Column())
    badness: dict[str, float] = {}
    for name, number in columns.cases.items():
        now, then = column.mean(number), earlier.mean(number)
        if before is not None and then is None:
            continue
        if now is None:
            # No output is worse than any score.
            if variant.failures.mean(number):
                badness[name] = math.inf
        elif then is None or sign * (now - then) > 0:
            badness[name] = sign * (now - (then or 0.0))
    worst = nlargest(limit, badness, key=badness.__getitem__)

    def rank(item: EvaluationItem) -> float:
        value = item.scores.get(score)
        if not item.is_success:
            return math.inf
        return sign * float(value) if isinstance(value, (int, float)) else -math.inf

    found: dict[tuple[str, str | None], EvaluationItem] = {}
    for item in items:
        if item.case in worst and item.variant in (after, before):
            key = (item.case, item.variant)
            if key not in found or (item.variant == after and rank(item) > rank(found[key])):
                found[key] = item
    return [
        WorstCase(
            case=name,
            score=score,
            value=column.mean(columns.cases[name]),
            before=earlier.mean(columns.cases[name]),
            item=found[name, after],
            compared=found.get((name, before)),
        )
        for name in worst
        if (name, after) in found
    ]
