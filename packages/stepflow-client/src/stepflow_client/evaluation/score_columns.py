"""An evaluation's scores and times as columns of numbers: the only item data a report keeps in memory."""

from __future__ import annotations

import math
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

from .records import ResultColumns

Kind: TypeAlias = Literal["number", "share", "label"]
"""What a score column contains: numbers, booleans (whose mean is a share), or whether each item has a label."""

# Target number of blocks when comparing times.
_TARGET_BLOCKS = 10
# Maximum number of labels per score to count separately.
_MAX_LABELS = 20
_OTHER_LABELS = "(other labels)"


class Column:
    """One number per case for a single variant: the mean over the repeats that have a value."""

    __slots__ = ("_counts", "_sums")

    def __init__(self) -> None:
        """Create a column with no values."""
        self._sums = array("d")
        self._counts = array("L")

    def add_case_value(self, case: int, value: float, count: int = 1) -> None:
        """Add a value, or the sum of several values."""
        more = case + 1 - len(self._sums)
        if more > 0:
            self._sums.extend([0.0] * more)
            self._counts.extend([0] * more)
        self._sums[case] += value
        self._counts[case] += count

    def count_by_case(self, case: int) -> int:
        """Return the number of values a case has."""
        return self._counts[case] if case < len(self._counts) else 0

    def get_case_sum(self, case: int) -> float:
        """Return the sum of a case's values."""
        return self._sums[case] if case < len(self._sums) else 0.0

    def get_case_mean(self, case: int) -> float | None:
        """Return a case's mean, or None if it has no values."""
        return self._sums[case] / self._counts[case] if self.count_by_case(case) else None

    def list_case_means(self) -> list[float]:
        """Return the means of all cases with values."""
        return [total / count for total, count in zip(self._sums, self._counts, strict=True) if count]

    @property
    def cases(self) -> Iterator[int]:
        """The cases with values."""
        return (case for case, count in enumerate(self._counts) if count)


class VariantColumns:
    """One variant's columns."""

    def __init__(self) -> None:
        """Create columns with no items."""
        self.statuses: Counter[str] = Counter()
        self.scores: dict[str, Column] = {}
        self.labeled: dict[str, Column] = {}
        """Columns that count the items with any label, keyed by score name."""
        self.failures = Column()
        """1 for each item that failed to complete, otherwise 0."""
        self.first_failure = ""
        """The error message of the first item that failed to complete."""
        self.times = array("d")
        """Durations of the completed items, in seconds."""
        self.log_times = Column()
        self.runs: dict[str | int, tuple[int, int]] = {}
        """The first and last case of each run, keyed by run ID. Each case without a run ID counts as its own run."""
        self.errors: Counter[str] = Counter()
        """Number of items for which each score failed."""
        self.first_errors: dict[str, str] = {}

    @property
    def item_count(self) -> int:
        """Number of items."""
        return sum(self.statuses.values())


def choose_resampling_block_sizes(cases: Sequence[int], variants: Iterable[VariantColumns]) -> list[int]:
    """Divide the cases into about 10 blocks of consecutive cases, without splitting any run, and return the block
    sizes."""
    starts, end = [], -1
    for first, last in sorted(span for variant in variants for span in variant.runs.values()):
        if first > end:
            starts.append(first)
        end = max(end, last)
    sizes: list[int] = []
    for _, group in groupby(cases, lambda case: bisect(starts, case)):
        count = len(list(group))
        if sizes and sizes[-1] < len(cases) / _TARGET_BLOCKS:
            sizes[-1] += count
        else:
            sizes.append(count)
    return sizes


class Columns:
    """All variants' columns.

    Args:
        items: The items, in any order.
        variants: The variants' names in order. Any other variants are added at the end.
    """

    def __init__(self, items: Iterable[ResultColumns], variants: Iterable[str] = ()) -> None:
        """Fill the columns with the items' data."""
        self.variants = {name: VariantColumns() for name in variants}
        self.cases: dict[str, int] = {}
        """Maps case names to case numbers, which start at 0."""
        self.repeats = 0
        self.kinds: dict[str, Kind] = {}
        """The kind of each score column, keyed by column name."""
        self._labels: dict[str, dict[str, str]] = {}
        """For each score name, maps the labels it returned to the labels they are counted under."""
        for results in items:
            self._add_results(results)
        # Add a column for each label: the share of each case's labeled items that got it.
        for name, labels in self._labels.items():
            for label in dict.fromkeys(labels.values()):
                shown = f"{name}={label}"
                self.kinds[shown] = "label"
                for variant in self.variants.values():
                    labeled = variant.labeled.get(name, Column())
                    column = variant.scores.setdefault(shown, Column())
                    for case in labeled.cases:
                        column.add_case_value(case, 0.0, labeled.count_by_case(case) - column.count_by_case(case))
        self._count_failures_as_false()

    def _add_results(self, results: ResultColumns) -> None:
        variant = self.variants.setdefault(results.variant, VariantColumns())
        cases = [self.cases.setdefault(name, len(self.cases)) for name in results.cases]
        self.repeats = max(self.repeats, results.repeats)
        variant.statuses.update(results.statuses)
        failed = [status != "completed" for status in results.statuses]
        if not variant.first_failure and True in failed:
            place = failed.index(True)
            variant.first_failure = results.errors[place] or f"the item was {results.statuses[place]}"
        for case, run, has_failed, seconds in zip(cases, results.run_ids, failed, results.durations, strict=True):
            variant.failures.add_case_value(case, has_failed)
            first, last = variant.runs.get(run or case, (case, case))
            variant.runs[run or case] = min(first, case), max(last, case)
            if not has_failed and seconds is not None and seconds >= 0:
                variant.times.append(seconds)
                # Avoid log(0). Even with the fastest components, a step takes at least a few microseconds.
                variant.log_times.add_case_value(case, math.log(max(seconds, 1e-6)))
        for name, values in results.scores.items():
            numbers: list[tuple[int, float]] = []
            for case, value in zip(cases, values, strict=True):
                if isinstance(value, str):
                    labels = self._labels.setdefault(name, {})
                    label = labels.setdefault(value, value if len(labels) < _MAX_LABELS else _OTHER_LABELS)
                    variant.labeled.setdefault(name, Column()).add_case_value(case, 0.0)
                    variant.scores.setdefault(f"{name}={label}", Column()).add_case_value(case, 1.0)
                elif value is not None:
                    numbers.append((case, value))
            if numbers:
                is_share = self.kinds.get(name) != "number" and all(isinstance(number, bool) for _, number in numbers)
                self.kinds[name] = "share" if is_share else "number"
            for case, number in numbers:
                variant.scores.setdefault(name, Column()).add_case_value(case, number)
        for name, messages in results.score_errors.items():
            errors = [message for message in messages if message is not None]
            variant.errors[name] += len(errors)
            variant.first_errors.setdefault(name, errors[0])

    def _count_failures_as_false(self) -> None:
        """Count failed items as false in boolean scores, since none of them produced a correct output.

        If no variant has a score for a case, there might be nothing to compare its outputs with, so its failures only
        count if every completed case has the score.
        """
        variants = self.variants.values()
        if all(variant.statuses.keys() <= {"completed"} for variant in variants):
            return
        failures = [variant.failures for variant in variants]
        ended = {case for column in failures for case in column.cases if column.get_case_mean(case) != 1}
        for name in [name for name, kind in self.kinds.items() if kind == "share"]:
            scored = {case for variant in variants for case in variant.scores.get(name, Column()).cases}
            for variant in variants:
                for case in variant.failures.cases:
                    failed = int(variant.failures.get_case_sum(case))
                    if failed and (case in scored or (scored == ended and case not in ended)):
                        variant.scores.setdefault(name, Column()).add_case_value(case, 0.0, failed)
