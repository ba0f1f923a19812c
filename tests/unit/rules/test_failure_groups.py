"""The failed items of a run, grouped by cause."""

from __future__ import annotations

from stepflow_client._rules.failure_groups import failure_groups
from stepflow_client.types import ErrorCode, ExecutionStatus, FlowError, FlowResult, RunItem


def failed(index: int, message: str, step_id: str | None = None, code: ErrorCode | None = None) -> RunItem:
    error = FlowError(message=message, code=code, step_id=step_id)
    status = ExecutionStatus.FAILED
    return RunItem(index=index, status=status, result=FlowResult(run_id="run", status=status, error=error))


def completed(index: int) -> RunItem:
    status = ExecutionStatus.COMPLETED
    return RunItem(index=index, status=status, result=FlowResult(run_id="run", status=status, output=1))


def test_the_largest_group_is_first_and_numbers_and_quotes_do_not_count() -> None:
    items = [
        failed(0, "no field 'a'", "read"),
        completed(1),
        failed(2, "status 503 after 12 ms", "fetch"),
        failed(3, "status 503 after 7 ms", "fetch"),
        RunItem(index=4, status=ExecutionStatus.RUNNING),
    ]
    first, second = failure_groups(items)
    assert (first.step_id, first.indexes, first.error.message) == ("fetch", [2, 3], "status 503 after 12 ms")
    assert (second.step_id, second.indexes, second.code) == ("read", [0], "")


def test_step_code_and_message_tell_groups_apart_and_name_them() -> None:
    code = ErrorCode.EXPRESSION_FAILED
    items = [failed(0, "x", "a"), failed(1, "x", "b"), failed(2, "x", "a", code), failed(3, "y", "a")]
    keys = [group.key for group in failure_groups(items)]
    assert len(set(keys)) == 4
    assert keys == [group.key for group in failure_groups(items)]
    assert [group.code for group in failure_groups(items)] == ["", "", code.value, ""]


def test_items_that_do_not_name_their_step_join_the_only_group_that_does() -> None:
    named, unnamed = failed(5, "took 1 s", "fetch"), failed(0, "took 2 s")
    (group,) = failure_groups([named, unnamed])
    assert (group.step_id, group.indexes) == ("fetch", [0, 5])
    # The key does not depend on how many of them name it.
    assert group.key == failure_groups([named])[0].key
    other = failed(6, "took 3 s", "store")
    assert [(each.step_id, each.indexes) for each in failure_groups([named, unnamed, other])] == [
        ("fetch", [5]),
        (None, [0]),
        ("store", [6]),
    ]
