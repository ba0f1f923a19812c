# Written from _async/transport/retry.py by `make generate`. Change that file instead.

"""Retries requests according to the retry policy."""

from __future__ import annotations

import time

from ..._base.logging import logger
from ..._http.messages import HttpError, HttpRequest, HttpResponse
from ..._rules.request_retries import RetryBudget, RetryPolicy, delay_before_retry, describe_attempt
from ..._telemetry.tracing import note_resend
from .base import Middleware, Transport


class Retry(Middleware):
    """Repeats requests that are safe to repeat, within the caller's deadline and the client's budget.

    A stream is opened only once: its reader decides how to resume it.

    Args:
        inner: The transport that sends each attempt.
        policy: When to retry, and how often.
    """

    def __init__(self, inner: Transport, policy: RetryPolicy) -> None:
        super().__init__(inner)
        self._policy = policy
        self._budget = RetryBudget(policy)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request until it succeeds or can no longer be retried; a failure carries the `attempts`."""
        started = time.monotonic()
        attempts: list[str] = []
        self._budget.requests += 1
        outcome: HttpError | HttpResponse
        while True:
            try:
                outcome = self.inner.send(request)
                if outcome.status < 400:
                    return outcome
            except HttpError as error:
                outcome = error
            attempts.append(describe_attempt(outcome))
            left = request.remaining(request.timeout.read - (time.monotonic() - started))
            delay = delay_before_retry(
                self._policy, len(attempts), outcome, idempotent=request.idempotent, time_left=left
            )
            if delay is None or not request.is_retried or not self._budget.spend():
                break
            logger.info("%s: %s; sent again in %.2f s", request, attempts[-1], delay)
            note_resend()
            time.sleep(delay)
        if isinstance(outcome, HttpResponse):
            return outcome._replace(attempts=attempts)
        outcome.attempts = attempts
        raise outcome
