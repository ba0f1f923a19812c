"""Gates that an evaluation's scores must pass. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from ..types.model_base import Record
from .report_text import format_change
from .statistics import Change, apply_holm
from .variant_comparison import FAILED_SCORE, ScoreChange

Outcome: TypeAlias = Literal["passed", "failed", "inconclusive"]
_MAX_CASES = 1_000_000


class Limit(NamedTuple):
    """A limit or tolerance for a score."""

    score: str | None
    """The score's name. If None, a tolerance applies to all scores, whereas a limit applies only to the first score."""
    number: float
    variant: str | None = None
    """The variant it applies to, or None for all variants."""


@dataclass(frozen=True, slots=True)
class Gate(Record):
    """A requirement for a variant, and whether the variant meets it."""

    variant: str
    condition: str
    """The requirement, e.g. `exact of v2 is at least 0.9`."""
    outcome: Outcome
    """`inconclusive` means that there are too few cases to tell whether the variant is worse than its baseline."""
    message: str
    """The reason for the outcome, including the numbers behind it."""


class GateRules(NamedTuple):
    """Requirements that an evaluation must meet, in addition to completing at least one item."""

    below: Sequence[Limit] = ()
    """Minimum values for scores, or maximum values for scores where low values are good."""
    tolerances: Sequence[Limit] = ()
    """How much worse scores may be than the baseline's scores."""
    strict: bool = False
    """Whether an inconclusive gate counts as failed."""

    def get_tolerance(self, score: str, variant: str) -> float:
        """Return how much worse a variant's score may be than its baseline's."""
        for limit in reversed(self.tolerances):
            if limit.score in (None, score) and limit.variant in (None, variant):
                return limit.number
        return 0.0


def evaluate_gates(report: Any, gate_rules: GateRules) -> Iterator[Gate]:
    """Yield the gates for a report's variants, except for baseline variants."""
    earlier = report._baselines or {}
    for variant in report.variants:
        if variant in earlier.values():
            continue
        comparison = report.compare(variant, variant)
        failed = comparison.failed
        condition = f"at least one item of {variant} completed"
        if failed is None:
            yield Gate(variant, condition, "failed", f"no item of {variant} has ended")
        elif failed.after == 1:
            yield Gate(variant, condition, "failed", f"all items of {variant} failed")
        else:
            yield Gate(variant, condition, "passed", f"{1 - failed.after:.1%} of the items of {variant} completed")
        scores = {change.score: change for change in comparison._get_all_score_changes()}
        for limit in [limit for limit in gate_rules.below if limit.variant in (None, variant)]:
            score = scores.get(limit.score or "")
            is_lower = score is not None and bool(score.lower_is_better)
            condition = f"{limit.score} of {variant} is at {'most' if is_lower else 'least'} {limit.number:g}"
            if score is None:
                yield Gate(variant, condition, "failed", f"{variant} has no {limit.score}")
                continue
            outcome: Outcome = "passed"
            text = f"{limit.score} of {variant} is {score.after:.4g}"
            if score.after > limit.number if is_lower else score.after < limit.number:
                outcome, text = "failed", f"{text}, {'above' if is_lower else 'below'} {limit.number:g}"
            yield Gate(variant, condition, outcome, text)
        if variant in earlier:
            yield from _iter_baseline_gates(report, earlier[variant], variant, gate_rules)


def _iter_baseline_gates(report: Any, before: str, variant: str, gate_rules: GateRules) -> Iterator[Gate]:
    """Yield a gate for each score that can get worse, using Holm's method to correct for the number of scores."""
    comparison, changes = report._get_comparison_with_changes(before, variant)
    if comparison.failed is None:
        text = f"no case has ended in both {before} and {variant}"
        yield Gate(variant, f"{variant} can be compared with {before}", "failed", text)
        return
    scores = [change for change in comparison._get_all_score_changes() if change.verdict is not None]
    tolerances = {score.score: gate_rules.get_tolerance(score.score, variant) for score in scores}
    tests = {}
    for score in scores:
        than = get_tolerated_change(score, tolerances[score.score])
        tests[score.score] = partial(changes[score.score].get_significant_direction, than=than)
    is_failed = tests.pop(FAILED_SCORE)
    # Include labels, because the comparison table also corrects for them.
    directions = {**apply_holm(tests), FAILED_SCORE: is_failed()}
    for score in scores:
        if score.lower_is_better is None:
            continue
        tolerance, direction = tolerances[score.score], directions[score.score]
        more = f" by more than {tolerance:g}" if tolerance else ""
        condition = f"{score.score} of {variant} is not worse than {before}{more}"
        text = f"{score.before:.4g} -> {score.after:.4g}"
        outcome: Outcome = "passed"
        if direction and (direction > 0) == score.lower_is_better:
            outcome, text = "failed", f"{score.score} of {variant} is worse than {before}{more}: {text}"
        elif not is_conclusive(score, direction) and (score.verdict != "equal" or gate_rules.strict):
            difference, interval = format_change(score)
            outcome = "failed" if gate_rules.strict else "inconclusive"
            needed = describe_needed_cases(score, changes[score.score], tolerance)
            text = f"{text}, change {difference} ({interval}); {needed}"
            text = f"{score.score} of {variant} may be worse than {before}{more}: {text}"
        yield Gate(variant, condition, outcome, text)


def is_conclusive(change: ScoreChange, direction: int) -> bool:
    """Return whether the cases are enough to decide a gate, e.g. because they all change by the same amount."""
    return bool(direction) or (change.low is not None and change.low == change.high)


def get_tolerated_change(change: ScoreChange, tolerance: float) -> float:
    """Return the largest change for the worse that the tolerance allows."""
    return tolerance if change.lower_is_better else -tolerance


def describe_needed_cases(change: ScoreChange, paired: Change, tolerance: float) -> str:
    """Estimate how many cases it would take to decide whether a change is a regression, assuming similar variance."""
    interval, gap = paired.interval(), abs(paired.difference - get_tolerated_change(change, tolerance))
    if interval is None:
        return "there are too few cases for an interval"
    count = change.cases * ((interval.high - interval.low) / 2 / gap) ** 2 if gap else math.inf
    if count > _MAX_CASES:
        return "more cases are unlikely to decide it"
    scale = 10 ** max(0, len(str(int(count))) - 2)
    return f"about {max(math.ceil(count / scale) * scale, change.cases + 1):,} cases would decide it"
