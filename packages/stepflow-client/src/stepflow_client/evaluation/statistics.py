"""Means, paired differences and their confidence intervals. Results are reproducible because resampling is seeded.

An interval is the union of two bootstrap intervals computed from the same resamples. The percentile interval (widened
like Student's t for small samples) works for scores where few cases differ, and the studentized interval works for
skewed scores. Whenever one of them is too narrow, the other isn't. Boolean scores also get a few pseudo-values, as in
the Agresti-Coull and Bonett-Price intervals. Without these, ten correct cases out of ten would give an interval of zero
width.

The durations of items that share a queue aren't independent, so they're resampled in blocks of consecutive cases (a
cluster bootstrap). Resampling needs numpy, which the `stepflow-client[eval]` extra installs.
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
"""The confidence level of intervals."""
RESAMPLES = 2_000
MIN_VALUES = 5
"""Minimum number of values for an interval."""
MIN_BLOCKS = 6
"""Minimum number of blocks for a time interval."""
# Scale factor for the error rate of block intervals. Successive blocks are slightly correlated because a machine's load
# changes slowly, so without this factor a 95% interval would contain the true value in only 92% of evaluations.
_BLOCK_ERROR_FACTOR = 0.4
# Maximum number of values in a resample. For a larger sample, the interval has the shape of such a resample and is
# scaled to the sample's own width. This limits how long resampling takes, without hurting accuracy.
_MAX_DRAWN = 1_000
SHARE = (0.0, 0.0, 1.0, 1.0)
"""The pseudo-values for a proportion of cases."""
CHANGE = (-1.0, 1.0)
"""The pseudo-values for a paired change in a proportion."""

_Key = TypeVar("_Key", bound=Hashable)


def import_numpy() -> Any:
    """Import numpy.

    Raises:
        InvalidArgumentError: If numpy isn't installed.
    """
    try:
        return import_module("numpy")
    except ImportError:
        hint = install_command("stepflow-client", "eval")
        raise InvalidArgumentError("an evaluation needs numpy", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval for a mean."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


class ResampledMean:
    """The mean of a sample, along with the means of its resamples.

    Args:
        values: At least two values.
        pseudo_values: `SHARE` or `CHANGE` for values derived from booleans. Defaults to none.
        alpha_factor: The factor by which to multiply the tail probability. Defaults to 1.
    """

    def __init__(self, values: Sequence[float], pseudo_values: Sequence[float] = (), alpha_factor: float = 1.0) -> None:
        """Draw the resamples."""
        self._alpha_factor = alpha_factor
        self._mean = mean(values)
        self._bounds = (min(pseudo_values), max(pseudo_values)) if pseudo_values else (-math.inf, math.inf)
        numbers = import_numpy()
        # Shift the values so that they're close to zero, because sums of squares are only accurate there.
        sample = numbers.asarray((*values, *pseudo_values)) - self._mean
        self._varies = bool(numbers.abs(sample).max() > 1e-12 * abs(self._mean))
        if not self._varies:
            return
        size, self._drawn = len(sample), min(len(sample), _MAX_DRAWN)
        self._center, spread = float(sample.mean()), float(sample.std(ddof=1))
        self._error = spread / math.sqrt(size)
        picked = numbers.random.default_rng(0).choice(sample, (RESAMPLES, self._drawn))
        shifts, spreads = picked.mean(axis=1) - self._center, picked.std(axis=1, ddof=1)
        self._means = numbers.sort(shifts * math.sqrt(self._drawn / size))
        # Ignore deviations caused only by floating-point rounding.
        differ = spreads > 1e-7 * spread
        self._studentized = numbers.sort(shifts[differ] / spreads[differ] * math.sqrt(self._drawn))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the confidence interval of the mean."""
        if not self._varies:
            return Interval(self._mean, self._mean)
        tail, quantile = (1 - confidence) * self._alpha_factor / 2, import_numpy().quantile
        wide = _student_quantile(1 - tail, self._drawn - 1) * math.sqrt(self._drawn / (self._drawn - 1))
        wider = NormalDist().cdf(-wide)
        low, high = quantile(self._means, (wider, 1 - wider))
        end, start = quantile(self._studentized, (tail, 1 - tail)) * -self._error
        center, (least, most) = self._mean + self._center, self._bounds
        return Interval(
            min(self._mean, max(least, center + float(min(low, start)))),
            max(self._mean, min(most, center + float(max(high, end)))),
        )


def _student_quantile(part: float, degrees_of_freedom: int) -> float:
    """Approximate a quantile of Student's t by expanding around the normal distribution.

    The result is off by about 3% at 4 degrees of freedom, and by less above that.
    """
    z = NormalDist().inv_cdf(part)
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + math.fsum(term / float(degrees_of_freedom**power) for power, term in enumerate(terms, 1))


def mean(values: Sequence[float]) -> float:
    """Return the mean of one or more values."""
    return math.fsum(values) / len(values)


def resample_mean(
    values: Sequence[float], pseudo_values: Sequence[float] = (), blocks: Sequence[int] | None = None
) -> ResampledMean | None:
    """Resample the mean of the values. Return None if there are fewer than five values, or too few blocks.

    Args:
        values: The values, one per case.
        pseudo_values: `SHARE` or `CHANGE` for values derived from booleans. Defaults to none.
        blocks: The sizes of blocks of consecutive values. Defaults to treating values as independent.
    """
    if len(values) < MIN_VALUES or (blocks is not None and len(blocks) < MIN_BLOCKS):
        return None
    if blocks is None:
        return ResampledMean(values, pseudo_values)
    # Use one value per block, weighted so that the mean over blocks equals the mean of all values even if block sizes
    # differ.
    at, first, block_values = mean(values), 0, []
    for size in blocks:
        excess = math.fsum(values[first : first + size]) - size * at
        block_values.append(at + excess * len(blocks) / len(values))
        first += size
    return ResampledMean(block_values, (), _BLOCK_ERROR_FACTOR)


@dataclass(frozen=True, slots=True)
class Change:
    """The paired change in a value between two variants."""

    cases: int
    """Number of cases with a value in both variants."""
    before: float
    """The first variant's mean over these cases."""
    after: float
    """The second variant's mean."""
    difference: float
    resampled: ResampledMean | None
    """The resampled difference, or None if there are too few cases."""
    ups: int
    """Number of cases where the second variant's value is higher."""
    downs: int
    """Number of cases where the second variant's value is lower."""

    @property
    def ties(self) -> int:
        """Number of cases with equal values."""
        return self.cases - self.ups - self.downs

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """Return the interval of the difference, or None if there are too few cases."""
        return None if self.resampled is None else self.resampled.interval(confidence)

    def get_significant_direction(self, confidence: float = CONFIDENCE, than: float = 0.0) -> int:
        """Return 1 if the whole interval is above a number, -1 if it's below, and 0 otherwise."""
        interval = self.interval(confidence)
        if interval is None or than in interval:
            return 0
        return 1 if interval.low > than else -1


def compare_pairs(
    before: Sequence[float],
    after: Sequence[float],
    pseudo_values: Sequence[float] = (),
    blocks: Sequence[int] | None = None,
) -> Change:
    """Compute the change between two variants. Both need at least one value and must list the cases in the same order.

    Args:
        before: The first variant's values.
        after: The second variant's values.
        pseudo_values: `CHANGE` for values derived from booleans. Defaults to none.
        blocks: The sizes of blocks of consecutive cases. Defaults to treating cases as independent.
    """
    differences = [
        # Means over repeats may differ only because of rounding.
        0.0 if math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-12) else new - old
        for old, new in zip(before, after, strict=True)
    ]
    return Change(
        cases=len(differences),
        before=mean(before),
        after=mean(after),
        difference=mean(differences),
        resampled=resample_mean(differences, pseudo_values, blocks),
        ups=sum(difference > 0 for difference in differences),
        downs=sum(difference < 0 for difference in differences),
    )


def apply_holm(directions: Mapping[_Key, Callable[[float], int]]) -> dict[_Key, int]:
    """Return the direction of each change, using Holm's method to correct for the number of changes. There is at most a
    5% chance that any of the directions is wrong.

    Args:
        directions: Functions that return a change's direction at a given confidence.
    """
    corrected = dict.fromkeys(directions, 0)
    while left := [key for key, direction in corrected.items() if not direction]:
        confidence = 1 - (1 - CONFIDENCE) / len(left)
        clear = {key: direction for key in left if (direction := directions[key](confidence))}
        if not clear:
            break
        corrected |= clear
    return corrected
