"""For which runs the times of the items are read."""

from __future__ import annotations

import pytest
from stepflow_client.evaluation.timing import TimeBudget


@pytest.mark.parametrize("wanted", [True, False])
def test_all_or_none(wanted: bool) -> None:
    budget = TimeBudget(wanted)
    assert [budget.take(0, 2, 2) for _ in range(3)] == [wanted] * 3
    budget.note(1e9)
    assert budget.take(0, 1, 2) is wanted


def test_one_run_at_a_time_while_there_is_time() -> None:
    budget = TimeBudget(None)
    assert budget.take(0, 2, 1)
    assert not budget.take(0, 1, 1)
    budget.note(0.0)
    assert budget.take(0, 1, 1)
    budget.note(1e9)
    assert not budget.take(0, 1, 1)


def test_the_other_variants_get_times_although_it_is_late() -> None:
    budget = TimeBudget(None)
    assert [budget.take(variant, 2, 2) for variant in (0, 0, 1, 1)] == [True, False, True, False]
    budget.note(1e9)
    assert not budget.take(0, 1, 2)


def test_no_variant_gets_more_than_the_others() -> None:
    budget, found = TimeBudget(None), []
    for variant in (0, 0, 1, 0, 0, 1):
        taken = budget.take(variant, 1, 2)
        found.append(taken)
        if taken:
            budget.note(0.0)
    assert found == [True, False, True, True, False, True]
