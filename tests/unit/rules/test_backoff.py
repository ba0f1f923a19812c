"""Pauses between attempts."""

from __future__ import annotations

from random import Random

import pytest
from stepflow_client import InvalidArgumentError, RetryPolicy
from stepflow_client._rules.request_retries import Backoff, policy_of


def test_each_pause_is_longer_until_the_longest() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


def test_with_jitter_a_pause_is_between_half_of_it_and_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Random(7).uniform
    monkeypatch.setattr("stepflow_client._rules.request_retries.random.uniform", chosen)
    many = [Backoff(1.0, 5.0, jitter=True) for _ in range(200)]
    for whole in (1.0, 2.0, 4.0, 5.0):
        pauses = [backoff.next() for backoff in many]
        assert all(whole / 2 <= pause <= whole for pause in pauses)
        assert len(set(pauses)) > 100


def test_a_number_is_that_of_the_retries() -> None:
    assert (policy_of(3).max_attempts, policy_of(0).max_attempts, policy_of(None)) == (4, 1, RetryPolicy())
    for wrong in (-1, True, "3"):
        with pytest.raises(InvalidArgumentError, match="retry is a RetryPolicy or a number of retries, not "):
            policy_of(wrong)  # type: ignore[arg-type]
