"""Means, paired differences and their intervals. Pure, and the same on every machine: the resampling is seeded.

An interval joins two bootstrap intervals of the same resamples. The percentile interval, widened as Student's t is for
few values, is right for scores of which few cases differ; the studentized one for skewed scores. Where one of them is
too narrow, the other is not. Scores that are true or false get a few made-up values besides, as in the intervals of
Agresti and Coull, and of Bonett and Price: without them, ten right cases of ten would leave no doubt at all.

Times of items that share a queue are not independent of each other: they are resampled in blocks of consecutive cases
(a cluster bootstrap). The resampling needs numpy: the extra `stepflow-client[eval]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import NormalDist
from typing import Any, TypeVar

from .._base.suggestions import install_command
from ..errors import InvalidArgumentError

CONFIDENCE = 0.95
"""How often an interval contains the true value."""
RESAMPLES = 2_000
MIN_VALUES = 5
"""Minimum number of values for an interval."""
MIN_BLOCKS = 6
"""Minimum number of blocks for an interval of times."""
# What the error of intervals of blocks is multiplied with: successive blocks are a little alike, because the load of a
# machine changes slowly, so that an interval of 95% would contain the true value in 92% of the evaluations.
_BLOCK_DOUBT = 0.4
# Maximum number of values in a resample. The interval of more values has the shape of one of these, and its own width:
# the time that it takes is limited, and its accuracy does not suffer.
_MAX_DRAWN = 1_000
SHARE = (0.0, 0.0, 1.0, 1.0)
"""The made-up values for the share of the cases in which something is true."""
CHANGE = (-1.0, 1.0)
"""The made-up values for the change of such a share, in pairs."""

_Key = TypeVar("_Key", bound=Hashable)


def import_numpy() -> Any:
    """Return numpy.

    Raises:
        InvalidArgumentError: If it is not installed.
    """
    try:
        return import_module("numpy")
    except ImportError:
        hint = install_command("stepflow-client", "eval")
        raise InvalidArgumentError("an evaluation needs numpy", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Interval:
    """The range that contains the true value of a mean with some confidence."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


class ResampledMean:
    """The mean of values, and the means of their resamples.

    Args:
        values: At least two values.
        made_up: `SHARE` or `CHANGE` for values that come from true and false. Default: none.
        doubt: What the error of an interval is multiplied with. Default 1.
    """

    def __init__(self, values: Sequence[float], made_up: Sequence[float] = (), doubt: float = 1.0) -> None:
        """Draw the resamples."""
        self._doubt = doubt
        self._at = mean(values)
        self._bounds = (min(made_up), max(made_up)) if made_up else (-math.inf, math.inf)
        numbers = import_numpy()
        # Sums of squares are accurate around zero only.
        sample = numbers.asarray((*values, *made_up)) - self._at
        self._varies = bool(numbers.abs(sample).max() > 1e-12 * abs(self._at))
        if not self._varies:
            return
        size, self._drawn = len(sample), min(len(sample), _MAX_DRAWN)
        self._centre, spread = float(sample.mean()), float(sample.std(ddof=1))
        self._error = spread / math.sqrt(size)
        picked = numbers.random.default_rng(0).choice(sample, (RESAMPLES, self._drawn))
        shifts, spreads = picked.mean(axis=1) - self._centre, picked.std(axis=1, ddof=1)
        self._means = numbers.sort(shifts * math.sqrt(self._drawn / size))
        # A deviation that is only the rounding of floats is zero.
        differ = spreads > 1e-7 * spread
        self._studentized = numbers.sort(shifts[differ] / spreads[differ] * math.sqrt(self._drawn))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of the mean."""
        if not self._varies:
            return Interval(self._at, self._at)
        tail, quantile = (1 - confidence) * self._doubt / 2, import_numpy().quantile
        wide = _student_quantile(1 - tail, self._drawn - 1) * math.sqrt(self._drawn / (self._drawn - 1))
        wider = NormalDist().cdf(-wide)
        low, high = quantile(self._means, (wider, 1 - wider))
        end, start = quantile(self._studentized, (tail, 1 - tail)) * -self._error
        centre, (least, most) = self._at + self._centre, self._bounds
        return Interval(
            min(self._at, max(least, centre + float(min(low, start)))),
            max(self._at, min(most, centre + float(max(high, end)))),
        )


def _student_quantile(part: float, freedom: int) -> float:
    """Return a quantile of Student's t, by its expansion around the normal distribution. (3% off at 4, less above.)"""
    z = NormalDist().inv_cdf(part)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(freedom**power) for power, term in enumerate(terms, 1))


def mean(values: Sequence[float]) -> float:
    """Return the mean of values; there is at least one."""
    return math.fsum(values) / len(values)


def resample(
    values: Sequence[float], made_up: Sequence[float] = (), blocks: Sequence[int] | None = None
) -> ResampledMean | None:
    """Return the mean of values with its resamples; None for fewer than five values, or too few blocks.

    Args:
        values: The values, one for each case.
        made_up: `SHARE` or `CHANGE` for values that come from true and false. Default: none.
        blocks: The sizes of the blocks of consecutive values. None, the default, for independent values.
    """
    if len(values) < MIN_VALUES or (blocks is not None and len(blocks) < MIN_BLOCKS):
        return None
    if blocks is None:
        return ResampledMean(values, made_up)
    # A value for each block, whose mean is the mean of all values, although blocks have different sizes.
    at, first, of_blocks = mean(values), 0, []
    for size in blocks:
        excess = math.fsum(values[first : first + size]) - size * at
        of_blocks.append(at + excess * len(blocks) / len(values))
        first += size
    return ResampledMean(of_blocks, (), _BLOCK_DOUBT)


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a value from one variant to another, in pairs of the same case."""

    cases: int
    """Number of cases with a value in both variants."""
    before: float
    """The mean of the first variant over these cases."""
    after: float
    """The mean of the second."""
    difference: float
    resampled: ResampledMean | None
    """The resamples of the difference; None for too few cases."""
    ups: int
    """Number of cases in which the second variant's value is higher."""
    downs: int
    """Number of cases in which it is lower."""

    @property
    def ties(self) -> int:
        """Number of cases with equal values."""
        return self.cases - self.ups - self.downs

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return the interval of the difference; None for too few cases."""
        return None if self.resampled is None else self.resampled.interval(confidence)

    def direction(self, confidence: float = CONFIDENCE, than: float = 0.0) -> int:
        """Return 1 or -1 if the interval leaves no doubt that the difference is above or below a number, else 0."""
        interval = self.interval(confidence)
        if interval is None or than in interval:
            return 0
        return 1 if interval.low > than else -1


def paired_change(
    before: Sequence[float],
    after: Sequence[float],
    made_up: Sequence[float] = (),
    blocks: Sequence[int] | None = None,
) -> Change:
    """Return the change between two variants, whose values are in the same order of cases; there is at least one.

    Args:
        before: The values of the first variant.
        after: The values of the second one.
        made_up: `CHANGE` for values that come from true and false. Default: none.
        blocks: The sizes of the blocks of consecutive cases. None, the default, for independent values.
    """
    differences = [
        # Means over repeats may differ by their rounding.
        0.0 if math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-12) else new - old
        for old, new in zip(before, after, strict=True)
    ]
    return Change(
        cases=len(differences),
        before=mean(before),
        after=mean(after),
        difference=mean(differences),
        resampled=resample(differences, made_up, blocks),
        ups=sum(difference > 0 for difference in differences),
        downs=sum(difference < 0 for difference in differences),
    )


def apply_holm(directions: Mapping[_Key, Callable[[float], int]]) -> dict[_Key, int]:
    """Return the direction of each of several changes, corrected for their number by the method of Holm.

    All of them together have a false direction in at most 5% of the evaluations.

    Args:
        directions: Functions that return the direction of a change with a confidence.
    """
    corrected = dict.fromkeys(directions, 0)
    while left := [key for key, direction in corrected.items() if not direction]:
        confidence = 1 - (1 - CONFIDENCE) / len(left)
        clear = {key: direction for key in left if (direction := directions[key](confidence))}
        if not clear:
            break
        corrected |= clear
    return corrected
