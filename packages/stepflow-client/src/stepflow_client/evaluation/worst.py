"""The cases in which a variant is worst. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from heapq import nsmallest

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
    n: int,
    score: str,
    after: str,
    before: str | None,
    lower: frozenset[str],
) -> list[WorstCase]:
    """Return the cases in which a variant is worst, the worst first.

    Args:
        items: The items.
        columns: Their scores.
        n: Maximum number of cases.
        score: The score.
        after: The variant.
        before: The variant that it is compared with; None for the cases with the worst scores.
        lower: The names of the scores of which low values are good.
    """
    sign = 1.0 if is_named(score, lower) else -1.0
    value = columns.variants[after].scores.get(score, Column()).mean
    earlier = (lambda case: None) if before is None else columns.variants[before].scores.get(score, Column()).mean

    def badness(case: int) -> float | None:
        """Return how bad a case is; None for one that is not."""
        now, then = value(case), earlier(case)
        if before is not None and then is None:
            return None
        if now is None:
            # There is nothing worse than no output.
            return math.inf if columns.variants[after].failures.mean(case) else None
        worse = sign * (now - (then or 0.0))
        return worse if before is None or worse > 0 else None

    known = ((badness(number), number) for number in columns.cases.values())
    found = [number for _, number in nsmallest(n, ((-bad, number) for bad, number in known if bad is not None))]
    names = list(columns.cases)
    worst = _worst_items(items, {names[number] for number in found}, score, after, before, sign)
    return [
        WorstCase(
            case=names[number],
            score=score,
            value=value(number),
            before=earlier(number),
            item=worst[names[number], after],
            compared=None if before is None else worst.get((names[number], before)),
        )
        for number in found
        if (names[number], after) in worst
    ]


def _worst_items(
    items: Iterable[EvaluationItem], cases: Collection[str], score: str, after: str, before: str | None, sign: float
) -> dict[tuple[str, str], EvaluationItem]:
    """Return the worst item of each case of the variant, and the first one of the other, by case and variant."""
    found: dict[tuple[str, str], EvaluationItem] = {}
    for item in items:
        if item.case in cases and item.variant in (after, before):
            key = (item.case, item.variant)
            known = found.get(key)
            if known is None or (item.variant == after and _rank(item, score, sign) > _rank(known, score, sign)):
                found[key] = item
    return found


def _rank(item: EvaluationItem, score: str, sign: float) -> float:
    value = item.scores.get(score)
    return math.inf if not item.is_success else sign * float(value) if isinstance(value, (int, float)) else -math.inf
