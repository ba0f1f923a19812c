"""Item durations: when they are compared, and the order in which variants run."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._data.secrets import NO_SECRETS
from stepflow_client.evaluation import EvaluationItem, EvaluationReport
from stepflow_client.evaluation._sync.evaluate import _VariantTurns


def report(*, run_of: int = 5, slower: float = 1.0, cases: int = 120, timed: int | None = None) -> EvaluationReport:
    """Return a report of two variants with several cases per run; only the first `timed` cases have durations."""
    rng = random.Random(1)
    items = []
    for case in range(cases):
        for variant in "ab":
            duration = rng.lognormvariate(0, 0.1) * (slower if variant == "b" else 1.0)
            is_timed = timed is None or case < timed
            items.append(
                EvaluationItem(
                    case=str(case),
                    variant=variant,
                    scores={"latency": duration} if is_timed else {},
                    duration=duration if is_timed else None,
                    run_id=f"{variant}{case // run_of}",
                )
            )
    return EvaluationReport(items, lower_is_better=["latency"], timed=["latency"])


def test_slower_variants_are_detected() -> None:
    comparison = report(slower=1.3).compare("a", "b")
    assert comparison.duration is not None
    assert (comparison["latency"].verdict, comparison.duration.verdict) == ("worse", "worse")


def test_few_runs_have_no_interval() -> None:
    evaluation = report(run_of=40, slower=1.3)
    comparison = evaluation.compare("a", "b")
    assert comparison.duration is not None
    assert (comparison.duration.low, comparison.duration.verdict) == (None, "unclear")
    assert (comparison["latency"].low, comparison["latency"].verdict) == (None, "unclear")
    assert any("Times of a and b have no interval" in each for each in evaluation.summary().remarks)


def test_times_of_another_evaluation_have_no_verdict_and_no_gate() -> None:
    evaluation = report(slower=1.3).with_baseline(report())
    for variant in "ab":
        comparison = evaluation.compare(f"baseline {variant}", variant)
        assert comparison.duration is not None
        assert (comparison.duration.low, comparison.duration.verdict) == (None, None)
        assert (comparison["latency"].low, comparison["latency"].verdict) == (None, None)
    assert [each.condition for each in evaluation.gates() if "latency" in each.condition] == []
    assert "measured at different times" in str(evaluation.summary())
    with pytest.raises(InvalidArgumentError, match="latency of baseline b and b was measured at different times"):
        evaluation.assert_no_regression("baseline b", "b", "latency")
    assert "None" not in evaluation.to_html()
    assert "None" not in str(evaluation.summary())
    # The variants of one evaluation still ran side by side.
    assert evaluation.compare("a", "b")["latency"].verdict == "worse"


def test_times_of_a_variant_that_was_added_later_have_no_verdict() -> None:
    added = report()._set_secrets_and_variant_moments(NO_SECRETS, {"a": 0, "b": 1})
    assert added.compare("a", "b")["latency"].verdict is None
    assert (
        report()._set_secrets_and_variant_moments(NO_SECRETS, {"a": 1, "b": 1}).compare("a", "b")["latency"].verdict
        == "unclear"
    )


def test_the_summary_names_the_number_of_durations() -> None:
    summary = report(timed=100).summary()
    assert [each.items for each in summary.durations] == [100, 100]
    assert "Only some items' times were read: 100 of 120 of a, 100 of 120 of b." in summary.remarks
    assert not any("were read" in each for each in report().summary().remarks)


def test_every_variant_comes_first_about_equally_often() -> None:
    turns = _VariantTurns(3)
    first: Counter[int] = Counter()
    for number in range(300):
        order = [turns.find_next_variant()]
        turns.inputs_read[order[0]] = number + 1
        for _ in range(2):
            order.append(turns.find_next_variant())
            turns.inputs_read[order[-1]] = number + 1
        assert sorted(order) == [0, 1, 2]
        first[order[0]] += 1
    assert min(first.values()) > 70
