"""Which requests are retried and when: the policy's table, `Retry-After`, and the budget in an outage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidArgumentError, RetryPolicy, StepflowClient, StepflowClientError, SyncStepflowClient
from stepflow_client._http.http1_format import (
    CannotSend,
    ConnectFailed,
    ConnectionBroken,
    ConnectTimeout,
    HttpError,
    HttpResponse,
    NotHttp,
    PoolTimeout,
    ReadTimeout,
    WriteTimeout,
)
from stepflow_client._rules.retries import (
    RetryBudget,
    compute_retry_delay,
    describe_outcome,
    parse_retry_after,
    was_not_processed,
)

from tests.unit.both_twins import HEALTH, RUN_ID, TWINS, URL, Server

POLICY = RetryPolicy(max_attempts=4, first_delay=0.1, max_delay=0.5)
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

YES, NO = True, False
TABLE: list[tuple[HttpError | HttpResponse, bool, bool, bool]] = [
    # outcome of the attempt, retried if idempotent, retried otherwise, certainly not processed by the server
    (ConnectFailed("refused"), YES, YES, YES),
    (ConnectTimeout("silence"), YES, YES, YES),
    (PoolTimeout("full"), NO, NO, YES),
    (CannotSend("a bad header"), NO, NO, YES),
    (ConnectionBroken("reset"), YES, NO, NO),
    (ReadTimeout("silence"), NO, NO, NO),
    (WriteTimeout("silence"), NO, NO, NO),
    (NotHttp("an SSH banner"), NO, NO, NO),
    (HttpError("other"), NO, NO, NO),
    (HttpResponse(200, {}), NO, NO, NO),
    (HttpResponse(202, {}), NO, NO, NO),
    (HttpResponse(301, {}), NO, NO, NO),
    (HttpResponse(400, {}), NO, NO, NO),
    (HttpResponse(401, {}), NO, NO, NO),
    (HttpResponse(403, {}), NO, NO, NO),
    (HttpResponse(404, {}), NO, NO, NO),
    (HttpResponse(405, {}), NO, NO, NO),
    (HttpResponse(408, {}), YES, NO, NO),
    (HttpResponse(409, {}), NO, NO, NO),
    (HttpResponse(412, {}), NO, NO, NO),
    (HttpResponse(413, {}), NO, NO, NO),
    (HttpResponse(415, {}), NO, NO, NO),
    (HttpResponse(422, {}), NO, NO, NO),
    (HttpResponse(425, {}), NO, NO, NO),
    (HttpResponse(429, {}), YES, YES, YES),
    (HttpResponse(500, {}), NO, NO, NO),
    (HttpResponse(501, {}), NO, NO, NO),
    (HttpResponse(502, {}), YES, NO, NO),
    (HttpResponse(503, {}), YES, NO, NO),
    (HttpResponse(504, {}), YES, NO, NO),
    (HttpResponse(505, {}), NO, NO, NO),
    (HttpResponse(507, {}), NO, NO, NO),
    (HttpResponse(511, {}), NO, NO, NO),
]


def outcome_id(value: Any) -> str | None:
    if isinstance(value, HttpResponse):
        return str(value.status)
    return type(value).__name__ if isinstance(value, HttpError) else None


def delay(outcome: HttpError | HttpResponse, **more: Any) -> float | None:
    policy = more.pop("policy", POLICY)
    if isinstance(outcome, HttpResponse):
        outcome = outcome._replace(headers={"date": http_date(0), **outcome.headers})
    attempt = {"attempt": 1, "idempotent": True, "time_left": 30.0} | more
    return compute_retry_delay(policy, outcome=outcome, **attempt)


@pytest.mark.parametrize(("outcome", "if_idempotent", "otherwise", "not_processed"), TABLE, ids=outcome_id)
def test_which_failures_are_retried(
    outcome: HttpError | HttpResponse, if_idempotent: bool, otherwise: bool, not_processed: bool
) -> None:
    assert (delay(outcome, idempotent=True) is not None) is if_idempotent
    assert (delay(outcome, idempotent=False) is not None) is otherwise
    assert was_not_processed(outcome) is not_processed


@pytest.mark.parametrize(
    ("attempt", "time_left", "expected"),
    [
        (1, 30.0, 0.0),
        (2, 30.0, 0.0),
        (3, 30.0, 0.0),
        # The policy has four attempts.
        (4, 30.0, None),
        (5, 30.0, None),
        # Unit tests have no retry delays, so any time left is enough.
        (1, 0.001, 0.0),
        (3, 0.001, 0.0),
        (1, 0.0, None),
        (1, -1.0, None),
        (4, 0.0, None),
    ],
)
@pytest.mark.parametrize(
    "outcome", [ConnectFailed("refused"), ConnectionBroken("reset"), HttpResponse(503, {})], ids=outcome_id
)
def test_attempts_and_time_run_out(
    outcome: HttpError | HttpResponse, attempt: int, time_left: float, expected: float | None
) -> None:
    assert delay(outcome, attempt=attempt, time_left=time_left) == expected


def test_other_requests_are_retried_only_if_they_were_not_processed() -> None:
    assert all(not_processed for _, _, otherwise, not_processed in TABLE if otherwise)


def test_a_single_attempt_is_never_retried() -> None:
    once = RetryPolicy(max_attempts=1)
    assert all(delay(outcome, policy=once) is None for outcome, *_ in TABLE)


def test_the_delay_doubles_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", lambda low, high: high)
    policy = RetryPolicy(max_attempts=9, first_delay=0.1, max_delay=0.5)
    delays = [delay(ConnectionBroken("reset"), policy=policy, attempt=attempt) for attempt in range(1, 9)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert delay(ConnectionBroken("reset"), policy=policy, attempt=3, time_left=0.4) is None, (
        "no time to wait that long"
    )


def test_the_delay_is_random_between_zero_and_its_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", random.Random(7).uniform)
    delays = [delay(ConnectionBroken("reset"), attempt=3) or 0.0 for _ in range(2000)]
    assert 0 <= min(delays) < 0.02
    assert 0.38 < max(delays) <= 0.4
    assert 0.18 < sum(delays) / len(delays) < 0.22


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("007", 7.0),
        (http_date(9), 9.0),
        (http_date(-9), 0.0),
        ((NOW + timedelta(seconds=9)).strftime("%A, %d-%b-%y %H:%M:%S GMT"), 9.0),
        ((NOW + timedelta(seconds=9)).strftime("%a, %d %b %Y %H:%M:%S -0000"), 9.0),
        ((NOW + timedelta(hours=2, seconds=9)).strftime("%a, %d %b %Y %H:%M:%S +0200"), 9.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("٧", 0.0),
        ("Tue, 99 Nov 2026 12:00:00 GMT", 0.0),
        ("Tue, 24 Nov 99999 12:00:00 GMT", 0.0),
        ("\x00", 0.0),
    ],
)
@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_retry_after_sets_the_delay(status: int, header: str, seconds: float) -> None:
    assert delay(HttpResponse(status, {"retry-after": header})) == seconds


def test_a_retry_after_beyond_the_deadline_prevents_a_retry() -> None:
    assert delay(HttpResponse(503, {"retry-after": "29"})) == 29
    assert delay(HttpResponse(503, {"retry-after": "30"})) is None
    assert delay(HttpResponse(429, {"retry-after": "9" * 4000})) is None
    assert delay(HttpResponse(429, {"retry-after": http_date(3600)})) is None
    assert parse_retry_after(HttpResponse(429, {"retry-after": http_date(-999_999_999)})) == 0.0


def test_the_longer_delay_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._rules.retries.random.uniform", lambda low, high: high)
    policy = RetryPolicy(first_delay=4.0)
    assert delay(HttpResponse(503, {"retry-after": "1"}), policy=policy) == 4.0
    assert delay(HttpResponse(503, {"retry-after": "6"}), policy=policy) == 6.0


def test_attempts_are_described() -> None:
    assert describe_outcome(HttpResponse(503, {})) == "status 503"
    assert describe_outcome(ConnectionBroken("reset by peer")) == "reset by peer"
    assert describe_outcome(ReadTimeout()) == "ReadTimeout"


@pytest.mark.parametrize(
    "settings",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": 2.0},
        {"max_attempts": True},
        {"max_attempts": "3"},
        *[{name: bad} for name in ("first_delay", "max_delay", "budget") for bad in (-1, "1", None, True)],
        *[{name: float(bad)} for name in ("first_delay", "max_delay", "budget") for bad in ("inf", "nan")],
    ],
    ids=str,
)
def test_invalid_policies_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(settings))):
        RetryPolicy(**settings)


# The budget


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("requests", [1, 10, 1000])
def test_retries_never_exceed_the_budget(share: float, requests: int) -> None:
    start = 20.0
    budget = RetryBudget(RetryPolicy(budget=share), start)
    retries = 0
    for _ in range(requests):
        budget.requests += 1
        for _ in range(9):
            retries += budget.try_spend_retry()
    assert retries <= share * requests + (start if share else 0)
    if share:
        assert retries >= min(9 * requests, int(share * requests)) - 1


def test_the_retry_budget_has_a_maximum() -> None:
    budget = RetryBudget(RetryPolicy(budget=1.0), 5.0)
    for _ in range(10_000):
        budget.requests += 1
    assert sum(budget.try_spend_retry() for _ in range(1000)) == 50


def outage(twin: str, requests: int, fail: Callable[[httpx.Request], httpx.Response], policy: RetryPolicy) -> int:
    """Send requests to a server that fails them all; return how many attempts reached it."""
    reached = 0

    def server(request: httpx.Request) -> httpx.Response:
        nonlocal reached
        reached += 1
        return fail(request)

    transport = httpx.MockTransport(server)
    if twin == "sync":
        with SyncStepflowClient(URL, transport=transport, server_release="0.13.0", retry=policy) as client:
            for _ in range(requests):
                with pytest.raises(StepflowClientError):
                    client.get_run(RUN_ID)
        return reached

    async def main() -> None:
        async with StepflowClient(URL, transport=transport, server_release="0.13.0", retry=policy) as client:
            calls = [client.get_run(RUN_ID) for _ in range(requests)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, StepflowClientError) for each in results)

    asyncio.run(main())
    return reached


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("fail", [refused, lambda request: httpx.Response(503)], ids=["refused", "503"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("twin", TWINS)
def test_an_outage_is_not_amplified(twin: str, share: float, fail: Callable[[httpx.Request], httpx.Response]) -> None:
    requests, start = 100, 20
    reached = outage(twin, requests, fail, RetryPolicy(budget=share))
    assert requests <= reached <= requests * (1 + share) + (start if share else 0)
    # The whole budget is used, so short outages are bridged while some of it is left.
    assert reached >= requests * (1 + share)


@pytest.mark.parametrize("twin", TWINS)
def test_a_short_outage_is_bridged_and_an_error_lists_its_attempts(twin: str) -> None:
    left = 3

    def server(request: httpx.Request) -> httpx.Response:
        nonlocal left
        left -= 1
        return httpx.Response(503) if left >= 0 else httpx.Response(200, json=HEALTH)

    def check_health(transport: httpx.MockTransport, **settings: Any) -> str:
        if twin == "sync":
            with SyncStepflowClient(URL, transport=transport, **settings) as client:
                return client.health_check().status

        async def main() -> str:
            async with StepflowClient(URL, transport=transport, **settings) as client:
                return (await client.health_check()).status

        return asyncio.run(main())

    assert check_health(httpx.MockTransport(server)) == "healthy"
    left = 3
    with pytest.raises(StepflowClientError) as caught:
        check_health(httpx.MockTransport(server), retry=RetryPolicy(max_attempts=3))
    assert list(caught.value.attempts) == ["status 503"] * 3


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_rejected_creation_is_retried(twin: str, status: int) -> None:
    server = Server()
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": []})
    rejections = 2

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal rejections
        response = server(request)
        if server.request_lines[-1] == "POST /runs" and rejections:
            rejections -= 1
            return httpx.Response(status, headers={"retry-after": "0"})
        return response

    transport = httpx.MockTransport(answer)
    if twin == "sync":
        with SyncStepflowClient(URL, transport=transport, server_release="0.13.0") as client:
            assert client.create_run("f").run_id == RUN_ID
    else:

        async def main() -> None:
            async with StepflowClient(URL, transport=transport, server_release="0.13.0") as client:
                assert (await client.create_run("f")).run_id == RUN_ID

        asyncio.run(main())
    assert [each for each in server.request_lines if each.startswith("POST")] == ["POST /runs"] * 3
    # A proxy may return 408 and 503 for requests that it has forwarded, so the client first searches for the run.
    searches = [first for first, then in pairwise(server.request_lines) if then == "POST /runs"]
    assert searches == (["POST /runs"] * 2 if status == 429 else ["GET /runs"] * 2)
