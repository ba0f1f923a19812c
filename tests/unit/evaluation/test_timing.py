"""For which runs the times of the items are read."""

from __future__ import annotations

import pytest
from stepflow_client import ExecutionStatus
from stepflow_client.evaluation import EvaluationCase
from stepflow_client.evaluation.item_records import EndedItem
from stepflow_client.evaluation.timing import TimeBudget, with_durations
from stepflow_client.types.outcomes import Outcome


def items(variant: int, *indexes: int | None) -> list[EndedItem]:
    outcomes = [Outcome(0, None, "r", ExecutionStatus.COMPLETED, item_index=index) for index in indexes]
    return [EndedItem(variant, place, EvaluationCase("", {}), each) for place, each in enumerate(outcomes)]


@pytest.mark.parametrize("wanted", [True, False])
def test_all_or_none(wanted: bool) -> None:
    budget = TimeBudget(wanted)
    assert [budget.take(items(0, 0, 1), 2) for _ in range(3)] == [wanted] * 3
    budget.note(1e9)
    assert budget.take(items(0, 0), 2) is wanted


def test_one_run_at_a_time_while_there_is_time() -> None:
    budget = TimeBudget(None)
    assert budget.take(items(0, 0, 1), 1)
    assert not budget.take(items(0, 2), 1)
    budget.note(0.0)
    assert budget.take(items(0, 2), 1)
    budget.note(1e9)
    assert not budget.take(items(0, 3), 1)


def test_no_variant_gets_more_than_the_others() -> None:
    budget, found = TimeBudget(None), []
    for variant in (0, 0, 1, 0, 0, 1):
        taken = budget.take(items(variant, 0), 2)
        found.append(taken)
        if taken:
            budget.note(0.0)
    assert found == [True, False, True, True, False, True]


def test_times_are_those_of_the_items_of_the_run() -> None:
    found = with_durations(items(0, 4, None, 5), {4: 0.5})
    assert [each.duration for each in found] == [0.5, None, None]
