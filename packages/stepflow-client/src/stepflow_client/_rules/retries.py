"""Retry logic: which failed requests to resend, how long to wait, and when to give up.

It is deterministic except for random jitter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .._data.arguments import argument_error, check_integer
from .._http.http1_format import CannotSend, ConnectFailed, ConnectionBroken, HttpError, HttpResponse, PoolTimeout
from ..errors import RateLimitError, ServerFaultError, TransportError
from .deadlines import has_passed, limit_by_deadline

if TYPE_CHECKING:
    import random
else:
    # Only needed after a failure.
    random = lazy_module("random")


def compute_random_delay(first: float, max_delay: float, attempt: int) -> float:
    """Return how long to wait after an attempt (counted from 1), chosen at random.

    The maximum doubles each time ("full jitter").
    """
    return random.uniform(0, min(max_delay, first * 2 ** (attempt - 1)))


class Backoff:
    """Increasing delays between attempts.

    Args:
        first: Seconds to wait after the first attempt.
        longest: Maximum delay in seconds. Defaults to `first`, making all delays equal.
        factor: How much to multiply the delay by after each attempt.
        share: Minimum length of each delay after the first, as a fraction of the time elapsed. Defaults to 0.
        deadline: The time, by `time.monotonic()`, by which every delay must end. It can be changed later. Defaults to
            None (no limit).
        jitter: Whether to randomize each delay between 50% and 100%, so that operations that failed together aren't
            retried together. Defaults to False.
    """

    def __init__(
        self,
        first: float,
        longest: float | None = None,
        factor: float = 2.0,
        *,
        share: float = 0.0,
        deadline: float | None = None,
        jitter: bool = False,
    ) -> None:
        self._first, self._longest, self._factor = first, first if longest is None else longest, factor
        self._share, self._jitter, self.deadline = share, jitter, deadline
        self._next, self._started = first, time.monotonic()
        self.is_last = False
        """Whether the last delay was cut short by the deadline."""

    def next_delay(self, least: float = 0.0) -> float:
        """Return how many seconds to wait before the next attempt: at least `least`, but never beyond the deadline."""
        pause, shortest = self._next, self._share * self.elapsed
        self._next = min(max(pause * self._factor, shortest), self._longest)
        pause = max(random.uniform(pause / 2, pause) if self._jitter else pause, least)
        left = limit_by_deadline(self.deadline, pause)
        self.is_last = left < pause
        return left

    def reset(self) -> None:
        """Go back to the first delay after a successful attempt."""
        self._next, self._started = self._first, time.monotonic()

    @property
    def elapsed(self) -> float:
        """The number of seconds since the start."""
        return time.monotonic() - self._started

    @property
    def is_past_deadline(self) -> bool:
        """Whether the deadline has passed."""
        return has_passed(self.deadline)


TRANSIENT_STATUSES = frozenset({408, 429, 502, 503, 504})
"""Status codes that suggest the same request may succeed if it is sent again soon."""
TRANSIENT_ERRORS = (TransportError, ServerFaultError, RateLimitError)
"""Errors that suggest the same call may succeed if it is made again soon, provided that `is_retryable` is True."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how quickly to retry requests.

    Only requests that are safe to repeat are retried: reading, storing (which is content-addressed), cancelling,
    deleting, and creating a run if the server definitely didn't process the request.

    Attributes:
        max_attempts: Maximum number of attempts per request, including the first. Set to 1 to disable retries. Defaults
            to 5.
        first_delay: Maximum delay in seconds before the second attempt. The actual delay is random, from 0 to this
            value ("full jitter"), so that clients don't all retry at once. Defaults to 0.1.
        max_delay: Upper limit in seconds for the maximum delay, which doubles with each attempt. Defaults to 5.
        budget: Maximum average number of retries per request. Once it's used up, requests fail without being retried,
            so a server that is down doesn't get several times its usual load. Defaults to 0.5.
    """

    max_attempts: int = 5
    first_delay: float = 0.1
    max_delay: float = 5.0
    budget: float = 0.5

    def __post_init__(self) -> None:
        """Validate the values."""
        check_integer(self.max_attempts, "max_attempts", least=1)
        for name in ("first_delay", "max_delay", "budget"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise argument_error(name, "a number >= 0", value)


def resolve_retry_policy(retry: RetryPolicy | int | None) -> RetryPolicy:
    """Return the policy for a `retry` argument: a policy, a maximum number of retries, or None for the default.

    Raises:
        InvalidArgumentError: If it is anything else.
    """
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, RetryPolicy):
        return retry
    if isinstance(retry, int) and not isinstance(retry, bool) and retry >= 0:
        return RetryPolicy(max_attempts=retry + 1)
    raise argument_error("retry", "a RetryPolicy or a number of retries", retry)


class RetryBudget:
    """Keeps track of how many retries a client has left.

    Args:
        policy: The retry policy.
        start: Number of retries available at the start. Up to ten times as many can accumulate.
    """

    def __init__(self, policy: RetryPolicy, start: float = 20.0) -> None:
        self._share = policy.budget
        self._max_budget = start * 10
        self._budget_left = start if policy.budget else 0.0
        self.requests = 0
        """Number of non-retry requests since the last retry, each of which earns a fraction of a retry."""

    def try_spend_retry(self) -> bool:
        """Use up one retry. Return False if none is left."""
        self._budget_left = min(self._max_budget, self._budget_left + self.requests * self._share)
        self.requests = 0
        if self._budget_left < 1:
            return False
        self._budget_left -= 1
        return True


def compute_retry_delay(
    policy: RetryPolicy, attempt: int, outcome: HttpError | HttpResponse, *, idempotent: bool, time_left: float
) -> float | None:
    """Return how many seconds to wait before retrying, or None if the request must not be retried.

    Args:
        policy: The retry policy.
        attempt: The number of the failed attempt, from 1.
        outcome: The outcome of that attempt.
        idempotent: Whether sending the request twice has the same effect as sending it once.
        time_left: Seconds left until the caller's deadline.
    """
    if isinstance(outcome, HttpResponse):
        is_transient = outcome.status in TRANSIENT_STATUSES
    else:
        # Don't retry after a pool timeout, because waiting for a connection has used up the caller's time.
        is_transient = isinstance(outcome, (ConnectFailed, ConnectionBroken)) and not isinstance(outcome, PoolTimeout)
    if attempt >= policy.max_attempts or not is_transient or not (idempotent or was_not_processed(outcome)):
        return None
    delay = compute_random_delay(policy.first_delay, policy.max_delay, attempt)
    if isinstance(outcome, HttpResponse):
        delay = max(delay, parse_retry_after(outcome) or 0.0)
    return delay if delay < time_left else None


def was_not_processed(outcome: BaseException | HttpResponse | None) -> bool:
    """Return True if the server definitely didn't process the request."""
    if isinstance(outcome, HttpResponse):
        # 408 and 503 don't prove this, because proxies also return them for requests they have forwarded.
        return outcome.status == 429
    return isinstance(outcome, (ConnectFailed, CannotSend))


def parse_retry_after(response: HttpResponse) -> float | None:
    """Return the delay in seconds from a `Retry-After` header (in either format), or None if there is none.

    Args:
        response: The response. A `Retry-After` date is compared with the `Date` header, which uses the same clock, or
            with the current time if there is no `Date` header.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    date = parse_date(text)
    if date is None:
        return None
    written = parse_date(response.headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (date - written).total_seconds())


def parse_date(text: str) -> datetime | None:
    """Parse the date in a header such as `Date`, or return None if it isn't valid."""
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def describe_outcome(outcome: HttpError | HttpResponse) -> str:
    """Describe an attempt in one line, for the list of attempts in an error."""
    if isinstance(outcome, HttpResponse):
        return f"status {outcome.status}"
    return str(outcome) or type(outcome).__name__


def is_transient_status(status: int) -> bool:
    """Return whether a server or proxy may return this status for any request."""
    return status in TRANSIENT_STATUSES or status >= 500
