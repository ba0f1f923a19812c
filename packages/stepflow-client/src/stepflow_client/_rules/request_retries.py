"""Decides whether and when a request is retried. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from .._data.arguments import check_integer, wrong
from .._http.messages import (
    CannotSend,
    ConnectFailed,
    ConnectionBroken,
    HttpError,
    HttpResponse,
    NotHttp,
    PoolTimeout,
)
from ..errors import (
    RateLimitError,
    ServerFaultError,
    TransportError,
)
from .backoff import random_delay

TRANSIENT_STATUSES = frozenset({408, 429, 502, 503, 504})
"""Response statuses after which the same request may soon succeed."""
# Response statuses that mean that the request was not processed. (Proxies also return 408 and 503 for requests that
# they have forwarded.)
_UNPROCESSED = frozenset({429})
TRANSIENT_ERRORS = (TransportError, ServerFaultError, RateLimitError)
"""The classes of errors after which the same call may soon succeed, if `is_retryable` is True."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast requests are retried.

    Only requests that are safe to repeat are retried: reading, storing (content-addressed), cancelling, deleting, and
    creating a run if the server certainly did not process the request.

    Attributes:
        max_attempts: Maximum number of attempts for a request, including the first one. 1 disables retries. Default 5.
        first_delay: Maximum seconds before the second attempt. The actual delay is random between 0 and this ("full
            jitter"), so that clients do not all retry at the same time. Default 0.1.
        max_delay: The maximum delay doubles with each attempt, up to this number of seconds. Default 5.
        budget: Maximum average number of retries for each request. If it is used up, requests fail without retries, so
            that a server that is down does not receive a multiple of its usual load. Default 0.5.
    """

    max_attempts: int = 5
    first_delay: float = 0.1
    max_delay: float = 5.0
    budget: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        check_integer(self.max_attempts, "max_attempts", least=1)
        for name in ("first_delay", "max_delay", "budget"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise wrong(name, "a number of at least 0", value)


def resolve_retry_policy(retry: RetryPolicy | int | None) -> RetryPolicy:
    """Return the policy for a `retry` argument: a policy, a maximum number of retries, or None for the default.

    Raises:
        InvalidArgumentError: If it is something else.
    """
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, RetryPolicy):
        return retry
    if isinstance(retry, int) and not isinstance(retry, bool) and retry >= 0:
        return RetryPolicy(max_attempts=retry + 1)
    raise wrong("retry", "a RetryPolicy or a number of retries", retry)


class RetryBudget:
    """Counts the retries that a client may still make.

    Args:
        policy: The retry policy.
        start: Number of retries available at the start. Up to ten times as many can accumulate.
    """

    def __init__(self, policy: RetryPolicy, start: float = 20.0) -> None:
        self._share = policy.budget
        self._max = start * 10
        self._left = start if policy.budget else 0.0
        self.requests = 0
        """Number of requests since the last retry that were not retries: each earns a share of one."""

    def spend(self) -> bool:
        """Use one retry. Return False if none is left."""
        self._left = min(self._max, self._left + self.requests * self._share)
        self.requests = 0
        if self._left < 1:
            return False
        self._left -= 1
        return True


def delay_before_retry(
    policy: RetryPolicy,
    attempt: int,
    outcome: HttpError | HttpResponse,
    *,
    idempotent: bool,
    time_left: float,
    now: datetime | None = None,
) -> float | None:
    """Return the seconds to wait before a request is retried, or None if it must not be retried.

    Args:
        policy: The retry policy.
        attempt: The number of the failed attempt, from 1.
        outcome: The outcome of this attempt.
        idempotent: Whether sending the request twice has the same effect as sending it once.
        time_left: Seconds left until the caller's deadline.
        now: The current time, for dates in `Retry-After`.
    """
    if isinstance(outcome, HttpResponse):
        is_transient = outcome.status in TRANSIENT_STATUSES
    else:
        # A peer that does not speak HTTP will not start to, and a timeout has used up the caller's time.
        is_transient = isinstance(outcome, (ConnectFailed, ConnectionBroken))
        is_transient = is_transient and not isinstance(outcome, (PoolTimeout, NotHttp))
    if attempt >= policy.max_attempts or not is_transient or not (idempotent or was_not_processed(outcome)):
        return None
    delay = random_delay(policy.first_delay, policy.max_delay, attempt)
    if isinstance(outcome, HttpResponse):
        delay = max(delay, parse_retry_after(outcome, now) or 0.0)
    return delay if delay < time_left else None


def was_not_processed(outcome: BaseException | HttpResponse | None) -> bool:
    """Return whether it is certain that the server did not process the request."""
    if isinstance(outcome, HttpResponse):
        return outcome.status in _UNPROCESSED
    return isinstance(outcome, (ConnectFailed, CannotSend))


def parse_retry_after(response: HttpResponse, now: datetime | None = None) -> float | None:
    """Return the delay in seconds from the `Retry-After` header, in either of its forms; None if there is none.

    Args:
        response: The response. A date in `Retry-After` is compared with the `Date` header, as both come from the same
            clock.
        now: The time to use if the response has no `Date`; the current time by default.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    date = parse_date(text)
    if date is None:
        return None
    written = parse_date(response.headers.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (date - written).total_seconds())


def parse_date(text: str) -> datetime | None:
    """Return the time in a header, such as `Date`; None if it contains none."""
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def describe_attempt(outcome: HttpError | HttpResponse) -> str:
    """Return a one-line description of an attempt, for the list of attempts in an error."""
    if isinstance(outcome, HttpResponse):
        return f"status {outcome.status}"
    return str(outcome) or type(outcome).__name__


def is_transient_status(status: int) -> bool:
    """Return whether any server, or a proxy, may send this status in response to any request."""
    return status in TRANSIENT_STATUSES or status >= 500
