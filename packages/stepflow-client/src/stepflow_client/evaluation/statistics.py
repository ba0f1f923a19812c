"""Means, paired differences and their intervals. Pure, and the same on every machine: the resampling is seeded.

An interval joins two bootstrap intervals of the same resamples. The percentile interval, widened as Student's t is for
few values, is right for scores of which few cases differ; the studentized one for skewed scores. Where one of them is
too narrow, the other is not. Scores that are true or false get a few made-up values besides, as in the intervals of
Agresti and Coull, and of Bonett and Price: without them, ten right cases of ten would leave no doubt at all.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from operator import mul
from random import Random
from statistics import NormalDist

from .._base.text import quantile

CONFIDENCE = 0.95
"""How often an interval contains the true value."""
RESAMPLES = 2_000
FEWEST = 5
"""Minimum number of values for an interval."""
_LARGEST = 1_000
"""Maximum number of values in a resample. The interval of more values has the shape of one of these, and its own width:
the time that it takes is limited, and its accuracy does not suffer."""
_FEW_VALUES = 12
"""Maximum number of different values that are drawn by how often each occurs."""
SHARE = (0.0, 0.0, 1.0, 1.0)
"""The made-up values for the share of the cases in which something is true."""
CHANGE = (-1.0, 1.0)
"""The made-up values for the change of such a share, in pairs."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The range that contains the true value of a mean with a confidence of 95%."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


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
    interval: Interval | None
    """The interval of the difference; None for fewer than five cases."""
    ups: int
    """Number of cases in which the second variant's value is higher."""
    downs: int
    """Number of cases in which it is lower."""

    @property
    def ties(self) -> int:
        """Number of cases with equal values."""
        return self.cases - self.ups - self.downs

    @property
    def direction(self) -> int:
        """1 or -1 if the interval leaves no doubt that the value rises or falls, otherwise 0."""
        if self.interval is None or 0.0 in self.interval:
            return 0
        return 1 if self.interval.low > 0 else -1


def mean(values: Sequence[float]) -> float:
    """Return the mean of values; there is at least one."""
    return math.fsum(values) / len(values)


def mean_interval(values: Sequence[float], *, made_up: Sequence[float] = (), seed: int = 0) -> Interval | None:
    """Return the interval of a mean; None for fewer than five values.

    Args:
        values: The values, one for each case.
        made_up: `SHARE` or `CHANGE` for values that come from true and false. Default: none.
        seed: The seed of the resampling.
    """
    if len(values) < FEWEST:
        return None
    at = mean(values)
    # Sums of squares are accurate around zero only.
    sample = [each - at for each in (*values, *made_up)]
    if max(map(abs, sample)) <= 1e-12 * abs(at):
        return Interval(at, at)
    low, high = (at + end for end in _bootstrap(sample, seed))
    if made_up:
        low, high = max(low, min(made_up)), min(high, max(made_up))
    return Interval(min(low, at), max(high, at))


def _bootstrap(sample: Sequence[float], seed: int) -> tuple[float, float]:
    """Return the ends of the interval of the mean of a sample."""
    size, drawn = len(sample), min(len(sample), _LARGEST)
    centre, spread = _moments(math.fsum(sample), math.fsum(map(mul, sample, sample)), size)
    counts = Counter(sample)
    draws = _counted_sums(counts, drawn, seed) if len(counts) <= _FEW_VALUES else _sums(sample, drawn, seed)
    means, studentized = [], []
    for total, squares in draws:
        its_mean, its_spread = _moments(total, squares, drawn)
        means.append((its_mean - centre) * math.sqrt(drawn / size))
        if its_spread:
            studentized.append((its_mean - centre) / its_spread * math.sqrt(drawn))
    means.sort()
    studentized.sort()
    error = spread / math.sqrt(size)
    tail = (1 - CONFIDENCE) / 2
    wider = NormalDist().cdf(-math.sqrt(drawn / (drawn - 1)) * _student(1 - tail, drawn - 1))
    return (
        centre + min(quantile(means, wider), -quantile(studentized, 1 - tail) * error),
        centre + max(quantile(means, 1 - wider), -quantile(studentized, tail) * error),
    )


def _sums(sample: Sequence[float], drawn: int, seed: int) -> Iterator[tuple[float, float]]:
    """Yield the sum and the sum of the squares of each resample."""
    draw = Random(seed).choices
    for _ in range(RESAMPLES):
        picked = draw(sample, k=drawn)
        yield sum(picked), sum(map(mul, picked, picked))


def _counted_sums(counts: Counter[float], drawn: int, seed: int) -> Iterator[tuple[float, float]]:
    """Yield the same for a sample of few different values, 20 times as fast: by how often each of them is drawn."""
    random = Random(seed).random
    binomial = cache(_binomial)
    # The most frequent value first: few different numbers are left for the others.
    *values, (last, _) = counts.most_common()
    for _ in range(RESAMPLES):
        left, weights, total, squares = drawn, counts.total(), 0.0, 0.0
        for value, weight in values:
            lowest, cumulated = binomial(left, weight / weights)
            number = lowest + bisect(cumulated, random())
            total += number * value
            squares += number * value * value
            left -= number
            weights -= weight
        yield total + left * last, squares + left * last * last


def _binomial(count: int, part: float) -> tuple[int, list[float]]:
    """Return the distribution function of a binomial distribution, and the number at which it begins.

    It ends before the largest number: whatever is above the last one counts as the next.
    """
    middle, wide = count * part, 9 * math.sqrt(count * part * (1 - part)) + 5
    low, high = max(0, math.floor(middle - wide)), min(count, math.ceil(middle + wide))
    logs = (
        math.lgamma(count + 1) - math.lgamma(number + 1) - math.lgamma(count - number + 1)
        + number * math.log(part) + (count - number) * math.log1p(-part)
        for number in range(low, high)
    )  # fmt: skip
    return low, list(accumulate(map(math.exp, logs)))


def _moments(total: float, squares: float, count: int) -> tuple[float, float]:
    """Return the mean and the standard deviation of values with this sum and sum of squares.

    A deviation that is only the rounding of floats is zero.
    """
    its_mean = total / count
    variance = (squares - total * its_mean) / (count - 1)
    return its_mean, math.sqrt(variance) if variance > 1e-13 * squares / count else 0.0


def _student(part: float, freedom: int) -> float:
    """Return a quantile of Student's t, by its expansion around the normal distribution. (3% off at 4, less above.)"""
    z = NormalDist().inv_cdf(part)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(freedom**power) for power, term in enumerate(terms, 1))


def paired_change(
    before: Sequence[float], after: Sequence[float], *, made_up: Sequence[float] = (), seed: int = 0
) -> Change:
    """Return the change between two variants, whose values are in the same order of cases; there is at least one.

    Args:
        before: The values of the first variant.
        after: The values of the second one.
        made_up: `CHANGE` for values that come from true and false. Default: none.
        seed: The seed of the resampling.
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
        interval=mean_interval(differences, made_up=made_up, seed=seed),
        ups=sum(each > 0 for each in differences),
        downs=sum(each < 0 for each in differences),
    )
