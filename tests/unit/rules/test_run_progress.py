"""The states of a batch's steps, counted by item."""

from __future__ import annotations

from stepflow_client._rules.run_progress import StepProgress


def _make_step(*statuses: str) -> StepProgress:
    step = StepProgress("summarize")
    for item, status in enumerate(statuses):
        step.record_item_end(item, None, status)
    return step


def test_a_step_that_ran_for_most_items_is_completed() -> None:
    step = _make_step("completed", "completed", "failed")
    step.not_run[2] = "fetch"
    assert step.get_state_text(3, True) == "completed"


def test_a_step_that_ran_for_no_item_names_the_reason() -> None:
    step = _make_step("failed", "failed")
    step.not_run.update({0: "fetch", 1: "fetch"})
    assert step.get_state_text(2, True) == "not run (fetch failed)"


def test_a_step_that_failed_itself_is_failed() -> None:
    step = _make_step("completed", "failed", "failed")
    step.not_run[1] = "fetch"
    assert step.get_state_text(3, True) == "failed"


def test_a_step_that_may_not_have_run_is_failed_or_not_run() -> None:
    step = _make_step("failed", "failed")
    step.unclear.update({0, 1})
    assert step.get_state_text(2, True) == "failed or not run"
    step.record_item_start(1, None, attempt=2)
    step.record_item_end(1, None, "failed")
    assert step.get_state_text(2, True) == "failed"


def test_the_first_attempt_counts_until_another_one_starts() -> None:
    step = StepProgress("summarize")
    assert step.attempt == 1
    step.record_item_start(0, None, attempt=2)
    assert step.attempt == 2
