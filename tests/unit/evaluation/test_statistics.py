"""Confidence intervals of means, and paired comparisons."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.evaluation import EvaluationReport
from stepflow_client.evaluation.statistics import (
    CHANGE,
    MIN_BLOCKS,
    MIN_VALUES,
    SHARE,
    Interval,
    _student_quantile,
    apply_holm,
    compare_pairs,
    import_numpy,
    mean,
    resample_mean,
)

from tests.unit.evaluation.planted import BETTER, SLOWER, planted


def interval_of(values: list[float], pseudo_values: tuple[float, ...] = ()) -> Interval:
    resampled = resample_mean(values, pseudo_values)
    assert resampled is not None
    return resampled.interval()


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 2 + 10 / 4 + 294 / 96 + 1098 / 384), (2, 2 + 10 / 8 + 294 / 384 + 1098 / 3072), (10**9, 2.0)],
)
def test_the_quantile_is_a_series_around_the_normal_quantile(degrees: int, expected: float) -> None:
    """Expect the first terms of formula 26.7.5 of Abramowitz and Stegun, for a normal quantile of 2."""
    assert _student_quantile(NormalDist().cdf(2), degrees) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("degrees", "table"), [(4, 2.776), (9, 2.262), (29, 2.045), (99, 1.984)])
def test_quantiles_agree_with_published_tables(degrees: int, table: float) -> None:
    assert _student_quantile(0.975, degrees) == pytest.approx(table, rel=0.1 / degrees)


def test_means_have_no_rounding_errors() -> None:
    assert mean([1e16, 1.0, -1e16]) == 1 / 3


def test_an_evaluation_needs_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(InvalidArgumentError, match="an evaluation needs numpy") as caught:
        import_numpy()
    assert "stepflow-client[eval]" in (caught.value.hint or "")


def test_an_interval_approximates_that_of_a_normal_distribution() -> None:
    values = [NormalDist(3, 2).inv_cdf((place + 0.5) / 400) for place in range(400)]
    interval, half = interval_of(values), 1.96 * 2 / math.sqrt(400)
    assert interval.low == pytest.approx(3 - half, abs=0.03)
    assert interval.high == pytest.approx(3 + half, abs=0.03)


def test_the_same_values_have_the_same_interval() -> None:
    values = [random.Random(1).random() for _ in range(50)]
    assert interval_of(values) == interval_of(values)
    assert interval_of(values) != interval_of([value * 1.01 for value in values])


def test_many_values_have_a_narrow_interval() -> None:
    rng = random.Random(1)
    few, many = ([rng.gauss(0, 1) for _ in range(count)] for count in (1_000, 16_000))
    widths = [interval.high - interval.low for interval in map(interval_of, (few, many))]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


def test_an_interval_far_from_zero_is_as_accurate() -> None:
    values = [random.Random(2).gauss(0, 1) for _ in range(40)]
    near, far = interval_of(values), interval_of([value + 1e9 for value in values])
    assert far.low - 1e9 == pytest.approx(near.low, abs=1e-3)


def test_bounds_are_those_of_the_wider_interval() -> None:
    """For five values, the bounds come from Student's t with four degrees of freedom."""
    resampled = resample_mean([0.0, 1.0, 2.0, 3.0, 4.0])
    assert resampled is not None
    half = 2.776 * math.sqrt(2.5 / 5)
    usual, wide = resampled.interval(), resampled.interval(0.99)
    assert usual.low <= 2 - 0.9 * half
    assert usual.high >= 2 + 0.9 * half
    assert wide.low < usual.low
    assert usual.high < wide.high


@pytest.mark.parametrize(
    ("values", "pseudo_values", "expected"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0], (), (-0.268, 4.25)),
        ([0.3, 1.1, 2.0, 3.7, 4.9, 5.2, 7.7, 9.1], (), (1.79, 7.25)),
        ([0.0] * 6 + [1.0, 1.0, 2.0, 9.0], (), (0.04, 8.58)),
        ([1.0] * 10, SHARE, (0.643, 1.0)),
        ([1.0] * 12 + [-1.0] * 3 + [0.0] * 45, CHANGE, (0.0155, 0.276)),
        ([float(number % 100) for number in range(4_000)], (), (48.6, 50.4)),
    ],
    ids=["few", "even", "skewed", "all right", "changes", "more than are drawn"],
)
def test_intervals_of_known_samples(
    values: list[float], pseudo_values: tuple[float, ...], expected: tuple[float, float]
) -> None:
    """The tolerance of 5% of the width allows for a different random sequence."""
    interval, width = interval_of(values, pseudo_values), expected[1] - expected[0]
    assert interval.low == pytest.approx(expected[0], abs=width / 20)
    assert interval.high == pytest.approx(expected[1], abs=width / 20)


def union_of_intervals(
    values: list[float], pseudo_values: tuple[float, ...], doubt: float = 1.0, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the outer bounds of a percentile and a studentized interval of the same resamples (up to 1,000 values)."""
    numbers = import_numpy()
    sample = numbers.asarray([*values, *pseudo_values])
    size, drawn, tail = len(sample), min(len(sample), 1_000), (1 - confidence) * doubt / 2
    picked = numbers.random.default_rng(0).choice(sample, (2_000, drawn))
    center, shifts, spreads = sample.mean(), picked.mean(axis=1) - sample.mean(), picked.std(axis=1, ddof=1)
    outer = NormalDist().cdf(-_student_quantile(1 - tail, drawn - 1) * math.sqrt(drawn / (drawn - 1)))
    low, high = center + numbers.quantile(shifts, (outer, 1 - outer)) * math.sqrt(drawn / size)
    varied = spreads > 1e-6 * sample.std()
    ratios = shifts[varied] / spreads[varied] * math.sqrt(drawn)
    start, end = center - numbers.quantile(ratios, (1 - tail, tail)) * sample.std(ddof=1) / math.sqrt(size)
    return float(min(low, start)), float(max(high, end))


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize(
    ("values", "pseudo_values"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.5], ()),
        ([0.0] * 6 + [1.0, 1.0, 2.0, 9.0], ()),
        ([1.0] * 8 + [0.0] * 4, SHARE),
        ([1.0] * 9 + [-1.0] * 3 + [0.0] * 25, CHANGE),
        ([float(number % 97) for number in range(1_200)], ()),
    ],
    ids=["few", "skewed", "shares", "changes", "more than are drawn"],
)
def test_an_interval_is_the_union_of_two_intervals(
    values: list[float], pseudo_values: tuple[float, ...], confidence: float
) -> None:
    resampled = resample_mean(values, pseudo_values)
    assert resampled is not None
    interval = resampled.interval(confidence)
    expected = union_of_intervals(values, pseudo_values, confidence=confidence)
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9)


def test_block_intervals_use_weighted_means() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 0.0, 5.0, 3.0, 3.0, 9.0]
    sizes = [1, 2, 3, 1, 2, 1]
    resampled = resample_mean(values, blocks=sizes)
    assert resampled is not None
    # Each block's excess over the mean (5.1 per value), scaled by the mean block size.
    sums = [1.0, 2.0 + 4.0, 8.0 + 16.0 + 0.0, 5.0, 3.0 + 3.0, 9.0]
    weighted = [5.1 + (total - size * 5.1) * 6 / 10 for total, size in zip(sums, sizes, strict=True)]
    interval = resampled.interval()
    assert (interval.low, interval.high) == pytest.approx(union_of_intervals(weighted, (), 0.4), rel=1e-9)


def test_interval_bounds_are_possible_values() -> None:
    assert interval_of([1.0] * 5 + [0.0], SHARE).high == 1.0
    assert interval_of([0.0] * 5 + [1.0], SHARE).low == 0.0
    assert interval_of([-1.0] * 5, CHANGE).low == -1.0
    assert interval_of([1.0] * 5, CHANGE).high == 1.0


def test_intervals_of_skewed_blocks_are_skewed() -> None:
    values = [0.0] * (5 * (MIN_BLOCKS - 1)) + [6.0] * 5
    resampled = resample_mean(values, blocks=[5] * MIN_BLOCKS)
    assert resampled is not None, "MIN_BLOCKS blocks are enough"
    interval, at = resampled.interval(), mean(values)
    assert interval.high - at > 1.1 * (at - interval.low) > 0


@pytest.mark.parametrize(
    ("low", "high", "direction"), [(0.5, 1.5, 1), (-1.5, -0.5, -1), (-0.5, 0.5, 0), (0.0, 1.0, 0), (-1.0, 0.0, 0)]
)
def test_the_direction_of_a_change_follows_from_its_interval(low: float, high: float, direction: int) -> None:
    class FixedInterval:
        def interval(self, confidence: float) -> Interval:
            return Interval(low, high)

    change = replace(compare_pairs([1.0], [2.0]), resampled=FixedInterval())  # type: ignore[arg-type]
    assert change.get_significant_direction() == direction
    assert change.get_significant_direction(than=high + 1) == -1
    assert change.get_significant_direction(than=low - 1) == 1


def test_few_values_have_a_wide_interval_or_none() -> None:
    assert resample_mean([1.0] * (MIN_VALUES - 1)) is None
    assert interval_of([1.0] * MIN_VALUES) == Interval(1.0, 1.0)
    # Five right cases of five do not mean that all cases are right.
    assert interval_of([1.0] * MIN_VALUES, pseudo_values=SHARE).low < 0.7
    assert interval_of([1.0] * MIN_VALUES, pseudo_values=SHARE).high == 1.0
    assert interval_of([0.0] * 20, pseudo_values=CHANGE).high > 0.1


def test_wins_and_losses_are_counted_without_rounding_errors() -> None:
    change = compare_pairs([0.1 + 0.2, 1, 1, 1, 1, 0], [0.3, 2, 0, 1, 1, 1])
    assert (change.ups, change.downs, change.ties) == (2, 1, 3)
    assert change.difference == pytest.approx(1 / 6)
    same = compare_pairs([0.1 + 0.2] * 9, [0.3] * 9)
    assert (same.difference, same.interval()) == (0.0, Interval(0.0, 0.0))
    assert change.get_significant_direction() == 0


def test_dependent_values_are_compared_in_blocks() -> None:
    rng = random.Random(3)
    # All items of a run have the same delay.
    delays = [delay for _ in range(24) for delay in [rng.gauss(0, 1)] * 10]
    independent, in_blocks = (compare_pairs([0.0] * 240, delays, blocks=blocks) for blocks in (None, [10] * 24))
    widths = [each.high - each.low for change in (independent, in_blocks) if (each := change.interval()) is not None]
    # Blocks also use intervals of 98% instead of 95%.
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10) * 2.33 / 1.96, rel=0.25)
    assert compare_pairs([0.0] * 240, delays, blocks=[40] * (MIN_BLOCKS - 2)).interval() is None


def test_blocks_of_any_size_have_the_mean_of_all_values() -> None:
    sizes = [1, 30, 2, 5, 9, 1, 1, 40, 3]
    values = [float(number) for number in range(sum(sizes))]
    resampled = resample_mean(values, blocks=sizes)
    assert resampled is not None
    assert sum(values) / len(values) in resampled.interval()
    assert resample_mean([2.0] * sum(sizes), blocks=sizes).interval() == Interval(2.0, 2.0)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.04], [1]),
        ([0.04, 0.04], [0, 0]),
        ([0.02, 0.04], [1, 1]),
        ([0.02, 0.02, 0.9], [0, 0, 0]),
        ([0.016, 0.02, 0.06], [1, 1, 0]),
        ([], []),
    ],
)
def test_many_changes_need_more_confidence(p: list[float], expected: list[int]) -> None:
    directions = {key: lambda confidence, each=each: int(each <= 1 - confidence) for key, each in enumerate(p)}
    assert list(apply_holm(directions).values()) == expected


SHAPES: dict[str, tuple[Callable[[random.Random], float], float, tuple[float, ...], int]] = {
    "normal": (lambda rng: rng.gauss(0.3, 1), 0.3, (), 20),
    "skewed": (lambda rng: rng.lognormvariate(0, 1), math.exp(0.5), (), 50),
    "sparse": (lambda rng: rng.gauss(0, 1) if rng.random() < 0.1 else 0.0, 0.0, (), 50),
    "shares": (lambda rng: float(rng.random() < 0.9), 0.9, SHARE, 30),
    "changes": (lambda rng: rng.choices((1.0, -1.0, 0.0), (8, 3, 89))[0], 0.05, CHANGE, 60),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_contain_the_truth(shape: str) -> None:
    """An interval of 95% contains it in 95% of the repetitions, give or take three standard errors."""
    draw, truth, pseudo_values, count = SHAPES[shape]
    rng = random.Random(7)
    hits = sum(truth in interval_of([draw(rng) for _ in range(count)], pseudo_values=pseudo_values) for _ in range(150))
    assert hits >= 150 * 0.95 - 3 * math.sqrt(150 * 0.95 * 0.05)


@pytest.mark.exhaustive
def test_planted_changes_are_detected_and_equal_variants_are_unclear() -> None:
    repetitions = 20
    results: dict[str, list[bool]] = {}
    for seed in range(repetitions):
        report = EvaluationReport(planted(seed))
        better, equal, slow = (report.compare("now", each) for each in ("better", "equal", "slow"))
        assert slow.duration is not None
        assert equal.duration is not None
        right = better["right"]
        assert right.low is not None
        assert right.high is not None
        assert slow.duration.low is not None
        assert slow.duration.high is not None
        checks = {
            "better is found": right.verdict == "better",
            "better contains the truth": right.low <= BETTER <= right.high,
            "slow is found": slow.duration.verdict == "worse",
            "slow contains the truth": slow.duration.low <= SLOWER <= slow.duration.high,
            "equal is unclear": equal["right"].verdict == "unclear",
            "equal times are unclear": equal.duration.verdict == "unclear",
        }
        for name, is_right in checks.items():
            results.setdefault(name, []).append(is_right)
    # At a true rate of 95%, fewer than 16 of 20 has a probability of 1 in 400.
    assert {name: sum(each) for name, each in results.items() if sum(each) < 16} == {}
