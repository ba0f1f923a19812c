"""Retry delays, retry policies, retry budgets and `Retry-After` dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest
from stepflow_client import InvalidArgumentError, RetryPolicy
from stepflow_client._http.http1_format import HttpResponse
from stepflow_client._rules.retries import (
    Backoff,
    RetryBudget,
    compute_random_delay,
    is_transient_status,
    parse_date,
    parse_retry_after,
    resolve_retry_policy,
)


class Clock:
    """A clock set by tests."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr("time.monotonic", lambda: fake.now)
    return fake


def test_defaults_are_as_documented() -> None:
    expected = RetryPolicy(max_attempts=5, first_delay=0.1, max_delay=5.0, budget=0.5)
    assert resolve_retry_policy(None) == RetryPolicy() == expected


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next_delay() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_delay() == 1.0


def test_without_a_maximum_all_delays_are_equal() -> None:
    backoff = Backoff(0.2)
    assert [backoff.next_delay() for _ in range(3)] == [0.2, 0.2, 0.2]


def test_no_delay_exceeds_the_deadline(clock: Clock) -> None:
    backoff = Backoff(1.0, 8.0, deadline=3.5)
    assert not backoff.is_last
    delays = []
    while not backoff.is_past_deadline:
        delays.append((backoff.next_delay(), backoff.is_last))
        clock.now += delays[-1][0]
    assert delays == [(1.0, False), (2.0, False), (0.5, True)]
    assert (backoff.next_delay(), backoff.is_last) == (0.0, True)
    backoff.deadline = None
    assert (backoff.next_delay(), backoff.is_last, backoff.is_past_deadline) == (8.0, False, False)


def test_a_requested_delay_is_a_minimum_and_is_capped_at_the_deadline(clock: Clock) -> None:
    backoff = Backoff(1.0, 5.0, deadline=8.0)
    assert [backoff.next_delay(3.0), backoff.next_delay(0.5), backoff.next_delay(60.0)] == [3.0, 2.0, 8.0]


def test_delays_grow_with_the_elapsed_time(clock: Clock) -> None:
    backoff = Backoff(0.02, 1.0, 1.0, share=0.1)
    delays = []
    for clock.now in (0.0, 0.1, 2.0, 5.0, 30.0, 40.0):
        delays.append(backoff.next_delay())
    assert delays == [0.02, 0.02, 0.02, 0.2, 0.5, 1.0]
    assert backoff.elapsed == 40.0
    backoff.reset()
    assert (backoff.elapsed, backoff.next_delay(), backoff.next_delay()) == (0.0, 0.02, 0.02)


def test_a_random_delay_is_at_most_a_maximum_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", lambda low, high: low + high)
    assert [compute_random_delay(0.1, 0.5, attempt) for attempt in range(1, 5)] == [0.1, 0.2, 0.4, 0.5]


def test_jitter_randomizes_the_upper_half_of_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Random(7).uniform
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", chosen)
    backoffs = [Backoff(1.0, 5.0, jitter=True) for _ in range(200)]
    for maximum in (1.0, 2.0, 4.0, 5.0):
        delays = [backoff.next_delay() for backoff in backoffs]
        assert all(maximum / 2 <= delay <= maximum for delay in delays)
        assert len(set(delays)) > 100


def test_an_integer_sets_the_number_of_retries() -> None:
    assert (resolve_retry_policy(3).max_attempts, resolve_retry_policy(0).max_attempts, resolve_retry_policy(None)) == (
        4,
        1,
        RetryPolicy(),
    )
    for wrong in (-1, True, "3"):
        with pytest.raises(InvalidArgumentError, match="retry must be a RetryPolicy or a number of retries, not "):
            resolve_retry_policy(wrong)  # type: ignore[arg-type]


def test_a_policy_is_used_unchanged() -> None:
    policy = RetryPolicy(max_attempts=2)
    assert resolve_retry_policy(policy) is policy


def test_each_request_adds_to_the_retry_budget() -> None:
    budget = RetryBudget(RetryPolicy(budget=0.5), 2.0)
    assert [budget.try_spend_retry() for _ in range(3)] == [True, True, False]
    spent = []
    for requests in (1, 1, 1, 2, 3):
        budget.requests += requests
        spent.append(budget.try_spend_retry())
        assert budget.requests == 0
    assert spent == [False, True, False, True, True]
    assert [budget.try_spend_retry() for _ in range(2)] == [True, False]


def test_the_retry_budget_starts_at_twenty_or_zero() -> None:
    for share, retries in ((0.5, 20), (0.0, 0)):
        budget = RetryBudget(RetryPolicy(budget=share))
        assert sum(budget.try_spend_retry() for _ in range(30)) == retries


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [
        (200, False),
        (400, False),
        (404, False),
        (408, True),
        (429, True),
        (499, False),
        (500, True),
        (501, True),
        (504, True),
    ],
)
def test_transient_statuses(status: int, is_transient: bool) -> None:
    assert is_transient_status(status) is is_transient


def test_without_a_date_header_retry_after_uses_the_local_clock() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = parse_retry_after(HttpResponse(503, {"retry-after": at}))
    assert seconds is not None
    assert 90 < seconds <= 100


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Tue, 24 Nov 2026 12:00:00 GMT", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("Tue, 24 Nov 2026 12:00:00 -0000", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("Tue, 24 Nov 2026 12:00:00 +0200", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("", None),
        ("soon", None),
    ],
)
def test_header_dates(text: str, date: datetime | None) -> None:
    assert parse_date(text) == date
    assert date is None or parse_date(text).tzinfo is not None  # type: ignore[union-attr]
