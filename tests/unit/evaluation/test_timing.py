"""The duration budget decides for which runs item durations are read."""

from __future__ import annotations

import pytest
from stepflow_client.evaluation._async.evaluate import _DurationBudget


@pytest.mark.parametrize("is_included", [True, False])
def test_an_explicit_choice_applies_to_all_runs(is_included: bool) -> None:
    budget = _DurationBudget(is_included)
    assert [budget.should_read(first) for first in (0, 2, 0)] == [is_included] * 3
    budget.record_reading_time(1e9)
    assert budget.should_read(4) is is_included


def test_durations_are_read_one_run_at_a_time_within_the_budget() -> None:
    budget = _DurationBudget(None)
    assert budget.should_read(0)
    assert not budget.should_read(2)
    budget.record_reading_time(0.0)
    assert budget.should_read(4)
    budget.record_reading_time(1e9)
    assert not budget.should_read(6)


def test_all_variants_have_durations_of_the_same_cases() -> None:
    budget = _DurationBudget(None)
    assert [budget.should_read(first) for first in (0, 2, 0, 2)] == [True, False, True, False]
    budget.record_reading_time(0.0)
    budget.record_reading_time(0.0)
    # A skipped run stays skipped.
    assert not budget.should_read(2)
