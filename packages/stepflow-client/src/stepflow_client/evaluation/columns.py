"""The scores and times of an evaluation as columns of numbers: all that a report keeps in memory of its items."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .item_records import ItemResult
    from .records import EvaluationItem, ScoreValue

Kind: TypeAlias = Literal["number", "share", "label"]
"""What a column of scores has: numbers; true and false, of which a mean is a share; or whether a label was given."""

_MOST_LABELS = 20
"""Maximum number of labels of a score that are counted one by one."""
OTHER_LABELS = "(other labels)"


class Column:
    """A number of each case of one variant: the mean over the repeats that have one."""

    __slots__ = ("_counts", "_sums")

    def __init__(self) -> None:
        """Start without numbers."""
        self._sums = array("d")
        self._counts = array("L")

    def add(self, case: int, value: float, count: int = 1) -> None:
        """Add a number, or the sum of several."""
        if case >= len(self._sums):
            more = case + 1 - len(self._sums)
            self._sums.extend([0.0] * more)
            self._counts.extend([0] * more)
        self._sums[case] += value
        self._counts[case] += count

    def has(self, case: int) -> bool:
        """Return whether a case has a number."""
        return case < len(self._counts) and self._counts[case] > 0

    def count(self, case: int) -> int:
        """Return how many numbers a case has."""
        return self._counts[case] if case < len(self._counts) else 0

    def total(self, case: int) -> float:
        """Return the sum of the numbers of a case."""
        return self._sums[case] if case < len(self._sums) else 0.0

    def mean(self, case: int) -> float | None:
        """Return the number of a case; None if it has none."""
        return self._sums[case] / self._counts[case] if self.has(case) else None

    def means(self) -> list[float]:
        """Return the numbers of the cases that have one."""
        return [total / count for total, count in zip(self._sums, self._counts, strict=True) if count]

    @property
    def cases(self) -> Iterator[int]:
        """The cases that have a number."""
        return (case for case, count in enumerate(self._counts) if count)


class Pairs(NamedTuple):
    """The numbers of the cases that two columns have in common."""

    cases: Sequence[int]
    before: Sequence[float]
    after: Sequence[float]


def paired(before: Column, after: Column) -> Pairs:
    """Return the numbers of the cases that both columns have."""
    cases = [case for case in before.cases if after.has(case)]
    return Pairs(cases, *([each.total(case) / each.count(case) for case in cases] for each in (before, after)))


class VariantColumns:
    """What is known of one variant."""

    def __init__(self) -> None:
        """Start without items."""
        self.statuses: Counter[str] = Counter()
        self.scores: dict[str, Column] = {}
        self.labels: dict[tuple[str, str], Column] = {}
        """How often each label was given, by score and label."""
        self.labelled: dict[str, Column] = {}
        """How often any label was given, by score."""
        self.failures = Column()
        """1 for each item that did not complete, 0 for others."""
        self.first_failure = ""
        """The message of the first item that did not complete."""
        self.times = array("d")
        """Seconds of the completed items."""
        self.log_times = Column()
        self.errors: Counter[str] = Counter()
        """Number of items for which a score failed, by its name."""
        self.first_errors: dict[str, str] = {}

    @property
    def items(self) -> int:
        """Number of items."""
        return sum(self.statuses.values())


class Columns:
    """The columns of all variants.

    Args:
        items: The items, in any order. They are read once.
        variants: The names of the variants, in their order. Others are added at the end.
    """

    def __init__(self, items: Iterable[EvaluationItem | ItemResult], variants: Iterable[str] = ()) -> None:
        """Read the items."""
        self.variants = {name: VariantColumns() for name in variants}
        self.cases: dict[str, int] = {}
        """The numbers of the cases, from 0, by name."""
        self.repeats = 0
        self.kinds: dict[str, Kind] = {}
        """What each column of scores has, by its name."""
        self._labels: dict[str, dict[str, str]] = {}
        """What each label of a score is counted as, by the name of the score."""
        for item in items:
            self._add(item)
        self._count_labels()
        self._count_failures()

    def _add(self, item: EvaluationItem | ItemResult) -> None:
        found = self.variants.get(item.variant)
        if found is None:
            found = self.variants[item.variant] = VariantColumns()
        case = self.cases.setdefault(item.case, len(self.cases))
        self.repeats = max(self.repeats, item.repeat + 1)
        found.statuses[item.status] += 1
        is_success = item.status == "completed"
        if not is_success and not found.first_failure:
            found.first_failure = item.error or f"the item was {item.status}"
        found.failures.add(case, 0.0 if is_success else 1.0)
        if is_success and item.duration is not None and item.duration >= 0:
            found.times.append(item.duration)
            # A step of the fastest component takes some microseconds.
            found.log_times.add(case, math.log(max(item.duration, 1e-6)))
        for name, value in item.scores.items():
            self._add_score(found, case, name, value)
        for name, message in item.score_errors.items():
            found.errors[name] += 1
            found.first_errors.setdefault(name, message)

    def _add_score(self, found: VariantColumns, case: int, name: str, value: ScoreValue) -> None:
        if isinstance(value, str):
            known = self._labels.setdefault(name, {})
            label = known.setdefault(value, value if len(known) < _MOST_LABELS else OTHER_LABELS)
            found.labelled.setdefault(name, Column()).add(case, 0.0)
            found.labels.setdefault((name, label), Column()).add(case, 1.0)
            return
        if self.kinds.get(name) != "number":
            self.kinds[name] = "share" if isinstance(value, bool) else "number"
        if name not in found.scores:
            found.scores[name] = Column()
        found.scores[name].add(case, float(value))

    def _count_labels(self) -> None:
        """Make a column of each label: the share of the labelled items of a case that have it."""
        for name, labels in self._labels.items():
            for label in dict.fromkeys(labels.values()):
                shown = f"{name}={label}"
                self.kinds[shown] = "label"
                for variant in self.variants.values():
                    given = variant.labels.get((name, label), Column())
                    column = variant.scores.setdefault(shown, Column())
                    for case in variant.labelled.get(name, Column()).cases:
                        column.add(case, given.total(case), variant.labelled[name].count(case))

    def _count_failures(self) -> None:
        """Count items that failed as false in scores that are true or false: a right output is none of theirs.

        A case in which no variant has the score is left out, if other cases are: it expects nothing.
        """
        variants = self.variants.values()
        ended = {
            case for each in self.variants.values() for case in each.failures.cases if each.failures.mean(case) != 1
        }
        for name in [name for name, kind in self.kinds.items() if kind == "share"]:
            scored = {case for each in variants for case in each.scores.get(name, Column()).cases}
            for variant in variants:
                for case in variant.failures.cases:
                    failed = int(variant.failures.total(case))
                    if failed and (case in scored or (scored == ended and case not in ended)):
                        variant.scores.setdefault(name, Column()).add(case, 0.0, failed)
