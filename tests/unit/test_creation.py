"""Which run a request has created whose answer was lost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepflow_client import (
    AuthenticationError,
    ConflictError,
    InvalidArgumentError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    RunTimeoutError,
    ServerConnectionError,
    ServerFaultError,
    StepflowClientError,
    UnsupportedByServerError,
)
from stepflow_client import _wire as wire
from stepflow_client._creation import Claims, born, candidates, may_have_created
from stepflow_client.types import RunDetails

from tests.unit.both_twins import SUMMARY

MOMENT = 1_795_000_000.0


def run_id(seconds: float, tail: int = 0) -> str:
    """Give an id of version 7, born at a moment."""
    return str(UUID(int=(int(seconds * 1000) << 80) | (7 << 76) | (2 << 62) | tail))


def run(seconds: float, flow_id: str = "f", tail: int = 0, run: str | None = None) -> RunDetails:
    created = datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
    name = run or run_id(seconds, tail)
    return wire.run(
        {"summary": {**SUMMARY, "runId": name, "rootRunId": name, "flowId": flow_id, "createdAt": created}, "steps": []}
    )


# What may have created a run


def never_sent(kind: type[ServerConnectionError] | type[RequestTimeoutError]) -> StepflowClientError:
    error = kind("nothing was sent")
    error.was_sent = False
    return error


OWN = {"error": {"code": 13, "message": "it broke", "status": "INTERNAL"}}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerConnectionError("the connection broke"), True),
        (RequestTimeoutError("no answer in time"), True),
        (never_sent(ServerConnectionError), False),
        (never_sent(RequestTimeoutError), False),
        (InvalidResponseError("cut short"), True),
        (InvalidResponseError("cut short", status_code=200), True),
        # What a proxy says leaves it open; a server's own failure, in either form, is a no.
        (ServerFaultError("bad gateway", status_code=502), True),
        (ServerFaultError("bad gateway", status_code=502, details="<html>"), True),
        (ServerFaultError("gateway timeout", status_code=504, details={}), True),
        (ServerFaultError("failed", status_code=500, details="text of a proxy"), True),
        (ServerFaultError("failed", status_code=500, details=OWN), False),
        (ServerFaultError("failed", status_code=500, details={"code": 500, "message": "it broke"}), False),
        (ServerFaultError("overloaded", status_code=503), True),
        (ServerFaultError("overloaded", status_code=503, details="<html>"), True),
        (ServerFaultError("bad gateway", status_code=502, details=OWN), True),
        (ServerFaultError("failed", status_code=500, details={"error": "a gateway's"}), True),
        (ServerFaultError("failed", status_code=500, details={"code": 500}), True),
        (RequestTimeoutError("too slow", status_code=408), True),
        (RateLimitError("slower", status_code=429), False),
        (InvalidRequestError("bad", status_code=400), False),
        (AuthenticationError("who", status_code=401), False),
        (NotFoundError("no flow", status_code=404), False),
        (ConflictError("no", status_code=409), False),
        (InvalidArgumentError("no"), False),
        (UnsupportedByServerError("no"), False),
        (RunTimeoutError("later"), False),
        (StepflowClientError("closed"), False),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.status_code}" if isinstance(value, StepflowClientError) else "",
)
def test_what_leaves_open_whether_a_run_was_created(error: StepflowClientError, expected: bool) -> None:
    assert may_have_created(error) is expected


# When a run was created


@given(st.integers(0, 2**47), st.integers(0, 2**60))
def test_ids_of_version_7_tell_the_millisecond(milliseconds: int, tail: int) -> None:
    made = run(MOMENT, run=str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | tail)))
    assert born(made) == milliseconds / 1000


@pytest.mark.parametrize("version", [1, 3, 4, 5, 6, 8])
def test_other_ids_leave_it_to_the_time_of_creation(version: int) -> None:
    assert born(run(MOMENT + 0.7, run=str(UUID(int=(version << 76) | (2 << 62))))) == MOMENT


def test_a_run_that_tells_nothing_is_older_than_all() -> None:
    unknown = run(MOMENT, run="00000000-0000-4000-8000-000000000000").model_copy(update={"created_at": None})
    assert born(unknown) == 0.0
    assert candidates([unknown], "f", MOMENT, []) == []


# Candidates


def test_only_new_runs_of_the_flow_that_nobody_owns() -> None:
    since = MOMENT + 0.5
    runs = [
        run(MOMENT + 0.9, tail=1),
        run(MOMENT + 0.8, "other", tail=2),
        run(MOMENT + 0.7, tail=3),
        run(MOMENT + 0.5, tail=4),
        run(MOMENT + 0.499, tail=5),
        run(MOMENT - 60, tail=6),
    ]
    assert candidates(runs, "f", since, [runs[2].run_id]) == [runs[0].run_id, runs[3].run_id]
    assert candidates(runs, "nothing", since, []) == []
    assert candidates([], "f", since, []) == []


@given(st.floats(0, 0.999), st.integers(0, 999))
def test_a_run_born_in_the_millisecond_of_the_beginning_counts(within: float, ms: int) -> None:
    # Its id has no finer time than that: it may have been created just after.
    since = MOMENT + ms / 1000 + within / 1000
    made = run(0, run=str(UUID(int=(int(since * 1000) << 80) | (7 << 76) | (2 << 62))))
    assert candidates([made], "f", since, []) == [made.run_id]
    before = run(0, run=str(UUID(int=(int(since * 1000) - 1 << 80) | (7 << 76) | (2 << 62))))
    assert candidates([before], "f", since, []) == []


@given(st.lists(st.tuples(st.integers(-2000, 2000), st.sampled_from("fg"), st.booleans()), max_size=20))
def test_candidates_are_what_they_say(made: list[tuple[int, str, bool]]) -> None:
    runs = [run(MOMENT + offset / 1000, flow, tail) for tail, (offset, flow, _) in enumerate(made)]
    owned = [each.run_id for each, (_, _, taken) in zip(runs, made, strict=True) if taken]
    expected = [
        each.run_id
        for each, (offset, flow, taken) in zip(runs, made, strict=True)
        if flow == "f" and not taken and born(each) >= MOMENT
    ]
    assert candidates(runs, "f", MOMENT, owned) == expected


# Claims


def test_one_call_is_alone_and_two_are_not() -> None:
    claims = Claims()
    claims.begin("f")
    claims.begin("g")
    assert claims.is_alone("f", 0)
    claims.begin("f")
    assert not claims.is_alone("f", 0)
    assert claims.is_alone("g", 0)
    claims.end("f")
    assert claims.is_alone("f", 0)


def test_who_began_before_another_gave_up_is_not_alone_either() -> None:
    claims = Claims()
    for _ in range(2):
        claims.begin("f")
    claims.doubt("f", 10.0)
    claims.end("f")
    assert not claims.is_alone("f", 9.0)
    assert claims.is_alone("f", 11.0)
    assert claims.is_alone("g", 9.0)


def test_only_so_many_doubts_are_remembered_and_the_newest_of_them() -> None:
    claims = Claims()
    for number in range(10_050):
        claims.doubt(f"f{number}", float(number))
    assert not claims.is_alone("f10049", 0)
    assert claims.is_alone("f49", 0)
    assert not claims.is_alone("f50", 0)


def test_all_are_lost_when_nobody_is_left_who_could_answer() -> None:
    claims = Claims()
    claims.begin("f")
    claims.begin("f")
    claims.lose("f")
    assert not claims.all_lost("f")
    claims.lose("f")
    assert claims.all_lost("f")
    claims.found("f")
    claims.end("f")
    assert claims.all_lost("f"), "the one that has ended does not count"
    claims.found("f")
    assert not claims.all_lost("f")
    claims.end("f")
    assert claims.is_alone("f", 0)


def test_a_run_is_given_to_one_call_only() -> None:
    claims = Claims()
    assert claims.own("a")
    assert not claims.own("a")
    assert claims.own("b")
    assert claims.owned == ["a", "b"]


def test_counts_leave_nothing_behind() -> None:
    claims = Claims()
    for number in range(100):
        claims.begin(f"f{number}")
        claims.lose(f"f{number}")
        claims.found(f"f{number}")
        claims.end(f"f{number}")
        claims.end(f"f{number}")
    left: dict[str, Any] = vars(claims)
    assert not left["_sending"]
    assert not left["_lost"]


def test_only_so_many_runs_are_remembered_and_the_newest_of_them() -> None:
    claims = Claims()
    for number in range(10_050):
        claims.own(str(number))
    assert len(claims.owned) == 10_000
    assert claims.owned[-1] == "10049"
    assert not claims.own("10049")
    assert not claims.own("50")


def test_threads_share_them() -> None:
    claims = Claims()
    won: list[int] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        for _ in range(200):
            claims.begin("f")
        won.append(sum(claims.own(str(number)) for number in range(500)))
        for _ in range(200):
            claims.end("f")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(won) == 500
    assert len(claims.owned) == 500
    assert claims.is_alone("f", 0)
