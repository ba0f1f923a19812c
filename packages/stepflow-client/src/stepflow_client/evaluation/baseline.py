"""The items of an evaluation beside those of an earlier one of the same cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from .._data.values import encode
from ..errors import InvalidArgumentError
from .records import EvaluationItem


class Side(NamedTuple):
    """One of the evaluations."""

    items: Iterable[EvaluationItem]
    """They are read several times."""
    variants: Sequence[str]


class Joined(NamedTuple):
    """Two evaluations as one."""

    items: Iterable[EvaluationItem]
    variants: Sequence[str]
    baselines: Mapping[str, str]
    """The earlier variant of each variant, by its name."""
    remarks: Sequence[str]


def join(report: Side, baseline: Side, name: str) -> Joined:
    """Return two evaluations as one, for `with_baseline`.

    Raises:
        InvalidArgumentError: If they have no case in common, or if a variant has the name of the baseline.
    """
    if not report.variants or not baseline.variants:
        raise InvalidArgumentError("an evaluation without items cannot be compared")
    earlier = {each: each if each in baseline.variants else baseline.variants[0] for each in report.variants}
    wanted = list(dict.fromkeys(earlier.values()))
    shown = {each: name if len(wanted) == 1 else f"{name} {each}" for each in wanted}
    taken = next((each for each in shown.values() if each in report.variants), None)
    if taken is not None:
        raise InvalidArgumentError(f"a variant is called {taken!r}, too", hint="give the baseline another name")
    items = _JoinedItems(report.items, baseline.items, shown)
    if not items.common:
        raise InvalidArgumentError(
            "the baseline has none of these cases", hint="cases are the same if they have the same name and input"
        )
    count, left = items.count, items.count - items.common
    remark = f"The baseline lacks {left:,} of {count:,} cases, or has another input for them: they are left out."
    baselines = {each: shown[before] for each, before in earlier.items()}
    return Joined(items, [*shown.values(), *report.variants], baselines, [remark] if left else [])


class _JoinedItems:
    """The items of a report, and those of an earlier one with other names of variants.

    Args:
        report: The items.
        baseline: The earlier items.
        shown: The names of the earlier variants in the report; the others are left out.
    """

    def __init__(
        self, report: Iterable[EvaluationItem], baseline: Iterable[EvaluationItem], shown: Mapping[str, str]
    ) -> None:
        self._report, self._baseline, self._shown = report, baseline, shown
        # Digests instead of inputs: there may be many.
        self._inputs = {item.case: _digest(item) for item in report}
        self.count = len(self._inputs)
        """Number of cases."""
        self.common = len({item.case for item in self._earlier()})
        """Number of cases that the earlier evaluation has, too."""

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        yield from self._report
        yield from self._earlier()

    def _earlier(self) -> Iterator[EvaluationItem]:
        for item in self._baseline:
            if item.variant in self._shown and self._inputs.get(item.case) == _digest(item):
                yield replace(item, variant=self._shown[item.variant])


def _digest(item: EvaluationItem) -> bytes:
    return hashlib.sha256(encode(item.input)).digest()
