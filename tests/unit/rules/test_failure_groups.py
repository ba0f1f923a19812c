"""The failed items of a run, grouped by cause."""

from __future__ import annotations

import random
import re

import pytest
from stepflow_client._rules.failure_groups import FailureGroups, group_failures
from stepflow_client.types import ErrorCode, ExecutionStatus, FailedItems, FlowError, RunItem


def failed(index: int, message: str, step_id: str | None = None, code: ErrorCode | None = None) -> RunItem:
    error = FlowError(message=message, code=code, step_id=step_id)
    return RunItem(index=index, status=ExecutionStatus.FAILED, error=error)


def completed(index: int) -> RunItem:
    return RunItem(index=index, status=ExecutionStatus.COMPLETED, output=1)


def test_groups_ignore_numbers_and_quotes_and_the_largest_is_first() -> None:
    items = [
        failed(0, "no field 'a'", "read"),
        completed(1),
        failed(2, "status 503 after 12 ms", "fetch"),
        failed(3, "status 503 after 7 ms", "fetch"),
        RunItem(index=4, status=ExecutionStatus.RUNNING),
    ]
    first, second = group_failures(items)
    assert (first.step_id, first.indexes, first.message) == ("fetch", [2, 3], "status 503 after … ms")
    assert first.error.message == "status 503 after 12 ms"
    assert (second.step_id, second.indexes, second.code) == ("read", [0], "")


def test_groups_differ_by_step_code_and_message() -> None:
    code = ErrorCode.EXPRESSION_FAILED
    items = [failed(0, "x", "a"), failed(1, "x", "b"), failed(2, "x", "a", code), failed(3, "y", "a")]
    keys = [group.key for group in group_failures(items)]
    assert len(set(keys)) == 4
    assert keys == [group.key for group in group_failures(items)]
    assert [group.code for group in group_failures(items)] == ["", "", code.value, ""]


def test_items_without_a_step_join_the_only_matching_group() -> None:
    named, unnamed = failed(5, "took 1 s", "fetch"), failed(0, "took 2 s")
    (group,) = group_failures([named, unnamed])
    assert (group.step_id, group.indexes, group.message) == ("fetch", [0, 5], "took … s")
    assert re.fullmatch("[0-9a-f]{12}", group.key), "the key is used in URLs"
    # The key does not depend on how many items name the step.
    assert group.key == group_failures([named])[0].key
    other = failed(6, "took 3 s", "store")
    assert [(each.step_id, each.indexes) for each in group_failures([named, unnamed, other])] == [
        (None, [0]),
        ("fetch", [5]),
        ("store", [6]),
    ]


def messages(*texts: str) -> list[tuple[str, list[int]]]:
    return [(group.message, group.indexes) for group in group_failures(failed(*each) for each in enumerate(texts))]


def test_messages_with_most_words_in_common_are_one_group() -> None:
    names = ("ada", "bob", "cy")
    assert messages(*(f"user {name} not found in tenant X-{at}" for at, name in enumerate(names))) == [
        ("user … not found in tenant …", [0, 1, 2])
    ]
    assert messages("GET https://0bad1.example answered 503", "GET https://0bad2.example answered 503") == [
        ("GET … answered 503", [0, 1])
    ]
    assert messages("no 'a b' in \"c\"", "no 'd' in \"e f\"") == [("no … in …", [0, 1])]


def test_messages_with_different_words_are_separate_groups() -> None:
    texts = ("no field 'a'", "no user 'a'", "no field 'a' of 'b'", "timeout", "refused")
    assert messages(*texts) == [(text, [index]) for index, text in enumerate(texts)]


def test_a_common_message_is_unchanged() -> None:
    text = "line one\n  line  two " + "word " * 100
    assert messages(text, text) == [(text, [0, 1])]


def test_lines_name_the_largest_groups_and_count_the_others() -> None:
    groups = FailureGroups()
    for index in range(4990):
        item = failed(index, f"no name {index}", "ask" if index < 20 else None)
        groups.add(index, item.error, item.status)
    words = ("one", "two", "three", "four", "five", "six")
    for index, word in enumerate(words, 4990):
        groups.add(index, FlowError(message=word), ExecutionStatus.FAILED)
    groups.add(4996, None, ExecutionStatus.CANCELLED)
    assert groups.format_group_lines() == [
        "4,990 x step 'ask': no name … (items 0, 1, 2, ...)",
        *(f"1 x {word} (item {index})" for index, word in enumerate(words[:4], 4990)),
        "2 x 2 more errors",
        "1 x cancelled",
    ]


@pytest.mark.parametrize("number", [800, pytest.param(3_000, marks=pytest.mark.exhaustive)])
def test_many_different_messages_are_grouped(number: int) -> None:
    rng = random.Random(5)
    texts = [" ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(4)) for _ in range(number)]
    groups = group_failures(failed(*each) for each in enumerate(texts))
    assert sorted(index for group in groups for index in group.indexes) == list(range(number))
    assert len(groups) == 200


def test_after_200_messages_other_lengths_join_the_last_group() -> None:
    letters = "abcdefghijklmno"
    texts = [f"{one}x {one}y {two}z {two}u" for one in letters for two in letters][:200]
    groups = group_failures(failed(*each) for each in enumerate([*texts, "short one"]))
    assert [(group.message, group.indexes) for group in groups if len(group.indexes) > 1] == [("…", [199, 200])]


def test_a_group_lists_its_first_items() -> None:
    code = ErrorCode.TIMEOUT
    (group,) = group_failures(failed(index, f"took {index} ms", "fetch", code) for index in range(1_500))
    failed_items = group.to_failed_items()
    text = "1,500 x step 'fetch': took … ms (items 0, 1, 2, ...)"
    assert failed_items == FailedItems(
        text=text, total=1_500, step_id="fetch", code=code, message="took … ms", item_indexes=[*range(20)]
    )
    (three,) = group_failures(failed(index, "no") for index in range(3))
    assert str(three) == "3 x no (items 0, 1, 2)"
    (alone,) = group_failures([failed(7, "no")])
    assert str(alone) == "1 x no (item 7)"


def test_the_end_of_a_long_message_counts_as_one_word() -> None:
    start = " ".join(["word"] * 50)
    assert messages(f"{start} same one end", f"{start} same other end") == [(f"{start} …", [0, 1])]
    start = " ".join(["word"] * 47)
    assert messages(f"{start} same one end", f"{start} same other end") == [(f"{start} same … end", [0, 1])]
