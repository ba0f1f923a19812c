"""Searching runs: their order, creation windows and the precision of times."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stepflow_client import ExecutionStatus, InvalidArgumentError, RunDetails
from stepflow_client._rules.run_queries import CreationWindow, has_only_whole_seconds, sort_newest_first


def run(run_id: str, second: int) -> RunDetails:
    created = datetime(2026, 11, 25, second=second, tzinfo=UTC)
    return RunDetails(run_id=run_id, flow_id="f", status=ExecutionStatus.COMPLETED, created_at=created)


def test_runs_are_sorted_newest_first_and_then_by_id() -> None:
    runs = [run("b", 1), run("d", 0), run("c", 1), run("a", 2)]
    assert [each.run_id for each in sort_newest_first(runs)] == ["a", "c", "b", "d"]


NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def created(seconds: float) -> RunDetails:
    """Return a run whose ID contains its creation time."""
    milliseconds = round((NOON.timestamp() + seconds) * 1000)
    return run(str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62))), 0)


@pytest.mark.parametrize(
    ("since", "until", "inside"),
    [
        (None, None, [-1, 0, 1, 2]),
        (NOON, None, [0, 1, 2]),
        (None, NOON, [-1]),
        ("2026-11-25T12:00:00Z", NOON + timedelta(seconds=2), [0, 1]),
        ("2026-11-25T13:00:01+01:00", None, [1, 2]),
    ],
)
def test_time_windows_exclude_their_end(since: Any, until: Any, inside: list[int]) -> None:
    window = CreationWindow(since, until)
    assert [second for second in (-1, 0, 1, 2) if created(second) in window] == inside
    assert window.is_unlimited is (since is until is None)


@pytest.mark.parametrize(("seconds", "is_too_old"), [(0, False), (-2, False), (-2.001, True)])
def test_a_run_is_too_old_only_beyond_a_tolerance(seconds: float, is_too_old: bool) -> None:
    assert CreationWindow(NOON, None).is_run_too_old(created(seconds)) is is_too_old
    assert not CreationWindow(None, NOON).is_run_too_old(created(seconds))


def test_without_a_time_in_its_id_the_creation_time_of_the_server_is_used() -> None:
    window = CreationWindow("2026-11-25T00:00:01Z", None)
    assert [second for second in range(3) if run("an id", second) in window] == [1, 2]
    assert RunDetails(run_id="an id", flow_id="f", status=ExecutionStatus.COMPLETED) not in window


def test_a_time_in_microseconds_is_more_precise_than_the_id() -> None:
    time = NOON + timedelta(microseconds=1500)
    precise = dataclasses.replace(created(0.001), created_at=time)
    assert precise in CreationWindow(time, None)
    assert precise not in CreationWindow(None, time)


@pytest.mark.parametrize("value", ["yesterday", 5, "2026-13-01", b"2026-11-25"])
def test_invalid_times_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="since must be a datetime or a string such as 2026-11-25T14:00:00Z"):
        CreationWindow(value, None)
    with pytest.raises(InvalidArgumentError, match="until must be a datetime"):
        CreationWindow(None, value)


def test_a_server_may_store_whole_seconds_only() -> None:
    whole = [run("a", 1), run("b", 2)]
    fraction = RunDetails(
        run_id="c", flow_id="f", status=ExecutionStatus.COMPLETED, created_at=NOON.replace(microsecond=1)
    )
    unknown = RunDetails(run_id="d", flow_id="f", status=ExecutionStatus.COMPLETED)
    assert [has_only_whole_seconds(runs) for runs in (whole, [*whole, fraction], [*whole, unknown], [unknown], [])] == [
        *(True, False, True, False, False)
    ]
