"""Failed items by their cause."""

from __future__ import annotations

from typing import Any

from stepflow_client import RunItem
from stepflow_client.flows.failure_groups import failure_groups


def item(index: int, message: str | None, step: str | None = "fetch", code: str = "component_failed") -> RunItem:
    error: Any = None if message is None else {"message": message, "step_id": step, "code": code}
    status = "completed" if message is None else "failed"
    result = {"run_id": "r", "status": status, "output": None, "error": error}
    return RunItem.model_validate({"index": index, "status": status, "result": result})


def test_messages_that_differ_in_numbers_and_quoted_texts_are_one_cause() -> None:
    items = [
        item(0, "timeout after 17 s"),
        item(1, None),
        item(2, "no key 'a'"),
        item(3, 'no key "b"'),
        item(4, "no key 'c'"),
        item(5, "timeout after 3 s"),
    ]
    groups = failure_groups(items)
    assert [(group.indexes, group.error.message) for group in groups] == [
        ([2, 3, 4], "no key 'a'"),
        ([0, 5], "timeout after 17 s"),
    ]


def test_the_step_and_the_code_are_part_of_a_cause() -> None:
    groups = failure_groups(
        [item(0, "no"), item(1, "no", step="load"), item(2, "no", code="timeout"), item(3, "no", None)]
    )
    assert [group.indexes for group in groups] == [[0], [1], [2], [3]]
    assert len({group.key for group in groups}) == 4


def test_a_cause_has_the_same_key_in_every_run() -> None:
    (one,), (other,) = (failure_groups([item(index, f"status 50{index}")]) for index in (3, 4))
    assert one.key == other.key


def test_an_item_without_an_error_belongs_to_no_group() -> None:
    running = RunItem.model_validate({"index": 0, "status": "running", "result": None})
    assert failure_groups([running, item(1, None)]) == []
