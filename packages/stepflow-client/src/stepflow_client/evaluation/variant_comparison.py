"""The scores of each variant and the changes between two variants, either overall or for slices of the cases."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from .._base.lazy import lazy_module
from .._base.text_formatting import quantile, short_json
from ..types.model_base import Record
from .records import EvaluationItem
from .score_columns import Column, Columns, VariantColumns, choose_resampling_block_sizes
from .scores import MISSING, find_part, parse_output_path
from .statistics import CHANGE, MIN_BLOCKS, SHARE, Change, Interval, apply_holm, compare_pairs, mean, resample_mean

_TAG_FIELDS = ("tags", "tag")


@dataclass(frozen=True, slots=True)
class SliceScore(Record):
    """A variant's score across cases that share a tag or field value."""

    value: str
    """The tag or field value."""
    score: str
    variant: str
    cases: int
    """Number of cases with the score. If there is a change, only includes cases where both variants have the score."""
    mean: float
    change: float | None
    """The change from the first variant or baseline, or None for that variant itself."""
    low: float | None
    """The lower bound of the change's 95% interval, or None if there are fewer than five cases."""
    high: float | None
    verdict: Verdict | None
    """The verdict on the change, using Holm's method to correct for the number of scores and slices."""


def group_case_names_by_tag_or_field(items: Iterable[EvaluationItem], field: str) -> dict[str, frozenset[str]]:
    """Group case names by tag, or by the value of a field."""
    path = None if field in _TAG_FIELDS else parse_output_path(field)
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


def compute_slice_scores(slices: Mapping[str, Any]) -> list[SliceScore]:
    """Return the scores of every variant in every slice."""
    changes: dict[tuple[str, str, str], tuple[ScoreChange, Change]] = {}
    for value, report in slices.items():
        for variant, before in report.baselines.items():
            comparison, paired = report._get_comparison_with_changes(before, variant)
            changes |= {(value, each.score, variant): (each, paired[each.score]) for each in comparison.scores}
    tests = {key: pair.get_significant_direction for key, (each, pair) in changes.items() if each.verdict is not None}
    directions = apply_holm(tests)
    rows = []
    for value, report in slices.items():
        for score in report.summary().means:
            key = value, score.score, score.variant
            if key not in changes:
                rows.append(SliceScore(*key, score.cases, score.mean, None, None, None, None))
                continue
            change, _ = changes[key]
            is_unclear = change.verdict not in (None, "equal") and not directions[key]
            verdict: Verdict | None = "unclear" if is_unclear else change.verdict
            numbers = change.change, change.low, change.high
            rows.append(SliceScore(*key, change.cases, score.mean, *numbers, verdict))
    return rows


# Import these modules lazily, because they import classes from this module.
_text = lazy_module("stepflow_client.evaluation.report_text")
_page = lazy_module("stepflow_client.evaluation.page")

Verdict: TypeAlias = Literal["better", "worse", "higher", "lower", "unclear", "equal"]
"""The verdict on a change. `higher` and `lower` are only used for labels, since no label is better than another. An
`unclear` change may be due to chance. `equal` means that no case differs."""
FAILED_SCORE = "failed"
"""The name used for the share of items that didn't complete."""
# If there are fewer cases than this, warn that intervals are wide.
_MIN_RELIABLE_CASES = 50


class ShownAsTable:
    """Base class for objects that notebooks show as a table with charts."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(_page.render_for_notebook(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}


@dataclass(frozen=True, slots=True)
class ScoreMean(Record):
    """A score's mean for one variant."""

    score: str
    variant: str
    cases: int
    """Number of cases with a score."""
    mean: float
    low: float | None
    """The lower bound of the mean's 95% interval, or None if there are fewer than five cases."""
    high: float | None


@dataclass(frozen=True, slots=True)
class ScoreChange(Record):
    """The paired change in a score between two variants."""

    score: str
    before: float
    """The first variant's mean over the cases that both variants share."""
    after: float
    """The second variant's mean."""
    change: float
    low: float | None
    """The lower bound of the change's 95% interval. None if there are fewer than five cases. For times, also None if
    there are fewer than six groups of runs or if the variants ran at different times."""
    high: float | None
    cases: int
    """Number of cases where both variants have the score."""
    wins: int
    """Number of cases where the second variant is better (or, for a label, has it more often)."""
    ties: int
    """Number of cases where both variants are equal."""
    losses: int
    """Number of cases where the second variant is worse."""
    verdict: Verdict | None
    """The verdict on the change, using Holm's method to correct for the number of scores. If there are several scores,
    a change may be unclear even if its interval excludes 0. For times, None if the variants ran at different times."""
    lower_is_better: bool | None
    """Whether low values are good, or None for a label."""


@dataclass(frozen=True, slots=True)
class VariantDurations(Record):
    """Durations of a variant's completed items, in seconds."""

    variant: str
    items: int
    """Number of items with a known duration."""
    p50: float
    """The median."""
    p95: float
    """The 95th percentile."""


@dataclass(frozen=True, slots=True)
class DurationChange(Record):
    """The paired change in duration from the first variant to the second, as a ratio."""

    ratio: float
    """The geometric mean of the ratios over all cases."""
    low: float | None
    """The lower bound of the ratio's 95% interval. None if there are fewer than six groups of runs, or if the variants
    ran at different times."""
    high: float | None
    cases: int
    """Number of cases with durations in both variants."""
    verdict: Verdict | None
    """The verdict on the change, or None if the variants ran at different times."""


@dataclass(frozen=True, slots=True)
class Comparison(ShownAsTable, Record):
    """A comparison of two variants. You can `print` it; notebooks show it as a table."""

    before: str
    """The variant that the other one is compared with."""
    after: str
    """The variant being compared."""
    scores: Sequence[ScoreChange]
    """The change in each score."""
    failed: ScoreChange | None
    """The change in the share of items that didn't complete, or None if no case has ended in both variants."""
    duration: DurationChange | None
    """The change in duration, or None if the server doesn't report durations."""

    def __getitem__(self, score: str) -> ScoreChange:
        """Return the change in a score."""
        for change in self._get_all_score_changes():
            if change.score == score:
                return change
        raise KeyError(score)

    def _get_all_score_changes(self) -> Sequence[ScoreChange]:
        return self.scores if self.failed is None else [*self.scores, self.failed]

    def __str__(self) -> str:
        return str(_text.format_comparison(self))


@dataclass(frozen=True, slots=True)
class EvaluationSummary(ShownAsTable, Record):
    """The scores of all variants and the changes between them. You can `print` it."""

    name: str
    cases: int
    repeats: int
    variants: Sequence[str]
    means: Sequence[ScoreMean]
    durations: Sequence[VariantDurations]
    comparisons: Sequence[Comparison]
    """The comparison of each variant with its baseline or, if there is none, with the first variant."""
    remarks: Sequence[str] = field(default=())
    """Caveats about these numbers, e.g. that there are few cases, or that scores failed or cases were left out."""

    @property
    def compared_with(self) -> str:
        """A description of what the variants are compared with."""
        names = list(dict.fromkeys(comparison.before for comparison in self.comparisons))
        return names[0] if len(names) == 1 else "the baseline of each variant"

    @property
    def notes(self) -> list[str]:
        """Notes on how to read the changes. Empty if there is only one variant."""
        if not self.comparisons:
            return []
        notes = [f"Changes are relative to {self.compared_with}, paired by case."]
        count = max(len(comparison.scores) for comparison in self.comparisons)
        if count > 1:
            notes.append(f"Verdicts are corrected for {count} scores (Holm).")
        return notes

    def __str__(self) -> str:
        return str(_text.format_summary(self))


class ComparisonRules(NamedTuple):
    """Rules for comparing scores."""

    lower: frozenset[str]
    """The names of scores where low values are good."""
    timed: frozenset[str]
    """The names of scores that measure time."""
    moments: Mapping[str, Hashable]
    """When each variant ran. Times are only comparable between variants that ran at the same time."""

    def get_badness_sign(self, score: str) -> float:
        """Return 1 if low values of a score are good, otherwise -1."""
        return 1.0 if matches_score_name(score, self.lower) else -1.0


class ComparisonWithChanges(NamedTuple):
    """A comparison of two variants and the underlying changes by score."""

    comparison: Comparison
    changes: Mapping[str, Change]


def compute_score_mean(score: str, variant: str, columns: Columns, rules: ComparisonRules) -> ScoreMean | None:
    """Compute a score's mean for a variant, or return None if it has no values."""
    variant_columns = columns.variants[variant]
    column = variant_columns.scores.get(score, Column())
    values = column.list_case_means()
    if not values:
        return None
    if matches_score_name(score, rules.timed):
        resampled = resample_mean(values, blocks=choose_resampling_block_sizes(list(column.cases), [variant_columns]))
    else:
        resampled = resample_mean(values, () if columns.kinds[score] == "number" else SHARE)
    interval = None if resampled is None else resampled.interval()
    return ScoreMean(score, variant, len(values), mean(values), *_get_interval_ends(interval))


def _get_interval_ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval.low, interval.high)


def _compare_columns(
    before: Column, after: Column, pseudo_values: Sequence[float] = (), *, timed: Sequence[VariantColumns] = ()
) -> Change | None:
    """Compute the paired change over the cases found in both columns, or return None if there are none.

    Args:
        before: The first variant's column.
        after: The second variant's column.
        pseudo_values: `CHANGE` for values derived from booleans. Defaults to none.
        timed: The variants, if the columns contain times. Time comparisons keep each run's items together.
    """
    cases = [case for case in before.cases if after.count_by_case(case)]
    if not cases:
        return None
    old, new = ([column.get_case_mean(case) or 0.0 for case in cases] for column in (before, after))
    return compare_pairs(old, new, pseudo_values, choose_resampling_block_sizes(cases, timed) if timed else None)


def compare_variants(columns: Columns, before: str, after: str, rules: ComparisonRules) -> ComparisonWithChanges:
    """Compare two variants."""
    variants = first, second = columns.variants[before], columns.variants[after]
    changes: dict[str, Change] = {}
    for name, kind in columns.kinds.items():
        old, new = (variant.scores.get(name, Column()) for variant in variants)
        is_timed = matches_score_name(name, rules.timed)
        pseudo_values = () if is_timed or kind == "number" else CHANGE
        compared = _compare_columns(old, new, pseudo_values, timed=variants if is_timed else ())
        if compared is not None:
            changes[name] = compared
    is_same_time = rules.moments.get(before) == rules.moments.get(after)
    shown = {name: is_same_time or not matches_score_name(name, rules.timed) for name in changes}
    directions = apply_holm({name: change.get_significant_direction for name, change in changes.items() if shown[name]})
    scores = []
    for name, change in changes.items():
        is_lower_better = None if columns.kinds[name] == "label" else matches_score_name(name, rules.lower)
        scores.append(_build_score_change(name, change, is_lower_better, directions.get(name)))
    failed, failures = None, _compare_columns(first.failures, second.failures, CHANGE)
    if failures is not None:
        changes[FAILED_SCORE] = failures
        failed = _build_score_change(FAILED_SCORE, failures, True, failures.get_significant_direction())
    duration, times = None, _compare_columns(first.log_times, second.log_times, timed=variants)
    if times is not None:
        low, high, verdict = None, None, None
        if is_same_time:
            low, high = (None if end is None else math.exp(end) for end in _get_interval_ends(times.interval()))
            verdict = _decide_verdict(times, -times.get_significant_direction(), ("better", "worse"))
        duration = DurationChange(math.exp(times.difference), low, high, times.cases, verdict)
    return ComparisonWithChanges(Comparison(before, after, scores, failed, duration), changes)


def matches_score_name(score: str, names: Collection[str]) -> bool:
    """Return whether a score has one of these names, or belongs to a mapping of scores that does."""
    return score in names or any(score.startswith(f"{name}.") for name in names)


def _build_score_change(score: str, change: Change, lower_is_better: bool | None, direction: int | None) -> ScoreChange:
    """Build a score's change. If `direction` is None, the change has no interval or verdict."""
    wins, losses = (change.downs, change.ups) if lower_is_better else (change.ups, change.downs)
    words: tuple[Verdict, Verdict] = ("higher", "lower") if lower_is_better is None else ("better", "worse")
    low, high, verdict = None, None, None
    if direction is not None:
        low, high = _get_interval_ends(change.interval())
        verdict = _decide_verdict(change, -direction if lower_is_better else direction, words)
    return ScoreChange(
        score=score,
        before=change.before,
        after=change.after,
        change=change.difference,
        low=low,
        high=high,
        cases=change.cases,
        wins=wins,
        ties=change.ties,
        losses=losses,
        verdict=verdict,
        lower_is_better=lower_is_better,
    )


def _decide_verdict(change: Change, good: int, words: tuple[Verdict, Verdict]) -> Verdict:
    if not change.ups and not change.downs:
        return "equal"
    return "unclear" if not good else words[0] if good > 0 else words[1]


def summarize_durations(name: str, variant: VariantColumns) -> VariantDurations | None:
    """Summarize a variant's durations. Return None if they are unknown."""
    if not variant.times:
        return None
    seconds = sorted(variant.times)
    return VariantDurations(name, len(seconds), quantile(seconds, 0.5), quantile(seconds, 0.95))


def collect_remarks(columns: Columns, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield caveats about an evaluation's numbers."""
    count = len(columns.cases)
    if not count:
        yield "No items yet: no case has ended."
    elif count < _MIN_RELIABLE_CASES:
        cases = f"{count} case{'s' * (count != 1)}"
        yield f"Only {cases}: the intervals are wide, and small differences cannot be detected; add cases."
    for name, variant in columns.variants.items():
        failed_items = variant.item_count - variant.statuses["completed"]
        if failed_items:
            yield f"{failed_items:,} of {variant.item_count:,} items of {name} failed: {variant.first_failure}"
    for score in dict.fromkeys(score for variant in columns.variants.values() for score in variant.errors):
        failed = {name: variant.errors[score] for name, variant in columns.variants.items() if variant.errors[score]}
        which = ", ".join(f"{number:,} of {name}" for name, number in failed.items())
        yield f"{score} failed for some items ({which}): {columns.variants[next(iter(failed))].first_errors[score]}"
    for comparison in comparisons:
        partial: dict[int, list[str]] = {}
        for change in comparison.scores:
            if change.cases < count:
                partial.setdefault(change.cases, []).append(change.score)
        for paired_cases, scores in partial.items():
            both = f"{comparison.before} and {comparison.after}"
            names = ", ".join(scores)
            yield f"{paired_cases:,} of {count:,} cases have {names} in both {both}; others are not compared."
    timed = [
        f"{len(variant.times):,} of {variant.statuses['completed']:,} of {name}"
        for name, variant in columns.variants.items()
        if 0 < len(variant.times) < variant.statuses["completed"]
    ]
    if timed:
        yield f"Only some items' times were read: {', '.join(timed)}."
    for comparison in comparisons:
        duration = comparison.duration
        both = f"{comparison.before} and {comparison.after}"
        if duration is not None and duration.verdict is None:
            yield f"Times of {both} were measured at different times, so they have no verdict."
        elif duration is not None and duration.low is None and duration.verdict != "equal":
            why = "items of one run share a queue, so groups of runs are compared, and there are fewer than"
            yield f"Times of {both} have no interval: {why} {MIN_BLOCKS} of them; add cases."
