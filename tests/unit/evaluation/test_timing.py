"""For which runs the times of the items are read."""

from __future__ import annotations

import pytest
from stepflow_client.evaluation._async.evaluate import _DurationBudget


@pytest.mark.parametrize("wanted", [True, False])
def test_all_or_none(wanted: bool) -> None:
    budget = _DurationBudget(wanted)
    assert [budget.should_read(first) for first in (0, 2, 0)] == [wanted] * 3
    budget.record_reading_time(1e9)
    assert budget.should_read(4) is wanted


def test_one_run_at_a_time_while_there_is_time() -> None:
    budget = _DurationBudget(None)
    assert budget.should_read(0)
    assert not budget.should_read(2)
    budget.record_reading_time(0.0)
    assert budget.should_read(4)
    budget.record_reading_time(1e9)
    assert not budget.should_read(6)


def test_all_variants_have_the_times_of_the_same_cases_although_it_is_late() -> None:
    budget = _DurationBudget(None)
    assert [budget.should_read(first) for first in (0, 2, 0, 2)] == [True, False, True, False]
    budget.record_reading_time(0.0)
    budget.record_reading_time(0.0)
    # A run that was left out stays so.
    assert not budget.should_read(2)
