"""Recovery from a lost response: which run the request created."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
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
from stepflow_client._rules.lost_creation import (
    RunRegistries,
    RunRegistry,
    get_creation_time,
    get_process_token,
    may_have_created_run,
    may_still_be_processed,
    was_processed_by_server,
)

MOMENT = 1_795_000_000.0


def run_id(seconds: float, tail: int = 0) -> str:
    """Return a version 7 id with this creation time."""
    return str(UUID(int=(int(seconds * 1000) << 80) | (7 << 76) | (2 << 62) | tail))


# Errors after which a run may exist


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
        # An error from a proxy leaves it open, and so does a server's own failure, in either format.
        (ServerFaultError("bad gateway", status_code=502), True),
        (ServerFaultError("bad gateway", status_code=502, details="<html>"), True),
        (ServerFaultError("gateway timeout", status_code=504, details={}), True),
        (ServerFaultError("failed", status_code=500, details="text of a proxy"), True),
        (ServerFaultError("failed", status_code=500, details=OWN), True),
        (ServerFaultError("failed", status_code=500, details={"code": 500, "message": "it broke"}), True),
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
def test_which_errors_leave_open_whether_a_run_was_created(error: StepflowClientError, expected: bool) -> None:
    assert may_have_created_run(error) is expected


@pytest.mark.parametrize(
    ("status", "details", "expected"),
    [
        (500, OWN, True),
        (500, {"code": 500, "message": "it broke"}, True),
        (500, {"code": 500}, False),
        (500, {"message": "it broke"}, False),
        (500, {"error": "a gateway's"}, False),
        (500, {"error": {"code": 13, "message": "it broke"}}, False),
        (500, {"error": {"code": 13, "message": "it broke", "status": "INTERNAL", "more": 1}}, True),
        (500, "text of a proxy", False),
        (501, OWN, False),
        (502, OWN, False),
    ],
)
def test_a_request_that_failed_on_the_server_creates_no_run_later(status: int, details: Any, expected: bool) -> None:
    assert was_processed_by_server(ServerFaultError("failed", status_code=status, details=details)) is expected
    assert not was_processed_by_server(InvalidRequestError("bad", status_code=status, details=details))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RequestTimeoutError("no answer in time"), True),
        (RequestTimeoutError("it did not arrive in time", status_code=408), False),
        (never_sent(RequestTimeoutError), False),
        (ServerFaultError("gateway timeout", status_code=504), True),
        (ServerFaultError("bad gateway", status_code=502), False),
        (ServerConnectionError("the connection broke"), False),
        (InvalidResponseError("cut short"), False),
    ],
)
def test_a_silent_connection_may_still_create_a_run(error: StepflowClientError, expected: bool) -> None:
    assert may_still_be_processed(error) is expected


# When a run was created


@given(st.integers(0, 2**47), st.integers(0, 2**60))
def test_version_7_ids_contain_the_creation_time(milliseconds: int, tail: int) -> None:
    value = str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | tail))
    assert get_creation_time(value) == milliseconds / 1000


@pytest.mark.parametrize(
    "form", [str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda value: value.replace("-", "")]
)
def test_ids_are_accepted_in_any_format(form: Callable[[str], str]) -> None:
    assert get_creation_time(form(run_id(MOMENT + 0.25, 10**15))) == MOMENT + 0.25


@pytest.mark.parametrize("value", [*(str(UUID(int=(v << 76) | (2 << 62))) for v in (1, 3, 4, 5, 6, 8)), "", "no id"])
def test_other_ids_have_no_creation_time(value: str) -> None:
    assert get_creation_time(value) is None


# Processes


def test_the_process_token_is_stable() -> None:
    assert get_process_token() == get_process_token()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_its_own_process_token() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        tokens = set(pool.map(_get_token, range(8), chunksize=1))
    assert get_process_token() not in tokens


def _get_token(number: int) -> str:
    return get_process_token()


# Flows


def test_no_two_clients_have_the_same_tag() -> None:
    assert len({RunRegistry().choose_flow_tag(b"d") for _ in range(100)}) == 100


def test_a_flow_lost_by_the_server_is_stored_again_with_the_same_tag() -> None:
    registry = RunRegistry()
    assert registry.find_shared_flow_id(b"d") is None
    tag = registry.choose_flow_tag(b"d")
    registry.record_shared_flow(b"d", "f")
    assert registry.find_shared_flow_id(b"d") == "f"
    assert registry.is_flow_only_run_by_this_client("f")
    assert not registry.is_flow_only_run_by_this_client("g")
    registry.forget_shared_flow_id("f")
    assert registry.find_shared_flow_id(b"d") is None
    assert registry.choose_flow_tag(b"d") == tag


def test_a_flow_with_an_unowned_run_gets_another_tag() -> None:
    registry = RunRegistry()
    tag = registry.choose_flow_tag(b"d")
    registry.record_shared_flow(b"d", "f")
    registry.record_shared_flow(b"e", "g")
    registry.end_call(registry.begin_call("f"), is_settled=False)
    assert not registry.is_flow_only_run_by_this_client("f")
    # Nor is it reused after the server has lost it.
    registry.forget_shared_flow_id("f")
    assert registry.find_shared_flow_id(b"d") is None
    assert registry.choose_flow_tag(b"d") != tag
    registry.record_shared_flow(b"d", "f2")
    assert registry.find_shared_flow_id(b"d") == "f2"
    assert registry.find_shared_flow_id(b"e") == "g", "other flows keep their IDs"


def test_the_number_of_remembered_flows_is_bounded() -> None:
    registry = RunRegistry()
    for number in range(1_050):
        registry.record_shared_flow(str(number).encode(), f"f{number}")
    assert registry.find_shared_flow_id(b"49") is None
    assert registry.find_shared_flow_id(b"50") == "f50"


def test_a_private_flow_is_run_only_by_this_client_and_not_shared() -> None:
    registry = RunRegistry()
    registry.record_single_call_flow("f")
    assert registry.is_flow_only_run_by_this_client("f")
    assert registry.find_shared_flow_id(b"d") is None


# Calls and their runs


def test_concurrent_calls_are_the_other_calls_of_the_flow() -> None:
    registry = RunRegistry()
    first, other = registry.begin_call("f"), registry.begin_call("g")
    assert registry.list_concurrent_calls(first) == set()
    second = registry.begin_call("f")
    assert registry.list_concurrent_calls(first) == {second}
    assert registry.list_concurrent_calls(other) == set()
    registry.end_call(second, is_settled=True)
    assert registry.list_concurrent_calls(first) == set()


def test_a_single_run_is_picked() -> None:
    call = RunRegistry().begin_call("f")
    call.sends = 1
    assert call.pick_run([run_id(MOMENT)]) == run_id(MOMENT)


def test_no_run_is_picked_if_there_are_more_runs_than_requests() -> None:
    call = RunRegistry().begin_call("f")
    call.sends = 1
    both = [run_id(MOMENT), run_id(MOMENT + 1)]
    assert call.pick_run(both) is None
    call.sends = 2
    assert call.pick_run(both) == both[1], "the newest: the call has sent both"


def test_a_run_older_than_an_earlier_claimed_run_is_not_picked() -> None:
    registry = RunRegistry()
    assert registry.claim_run("f", run_id(MOMENT))
    assert registry.claim_run("f", run_id(MOMENT - 5))
    call = registry.begin_call("f")
    call.sends = 1
    assert call.pick_run([run_id(MOMENT - 0.001, 1)]) is None
    assert call.pick_run([run_id(MOMENT, 1)]) == run_id(MOMENT, 1)
    assert registry.claim_run("f", run_id(MOMENT + 9))
    assert call.pick_run([run_id(MOMENT, 1)]) == run_id(MOMENT, 1), "what came after its beginning does not count"


def test_a_run_is_claimed_by_one_call_only() -> None:
    registry = RunRegistry()
    assert registry.claim_run("f", "a")
    assert not registry.claim_run("f", "a")
    assert registry.claim_run("f", "b")
    assert registry.filter_unowned(["a", "c", "b", "d"]) == ["c", "d"]


def test_runs_of_unknown_age_are_treated_like_old_ones() -> None:
    registry = RunRegistry()
    call = registry.begin_call("f")
    call.sends = 2
    assert call.pick_run(["x", run_id(MOMENT)]) == run_id(MOMENT)
    registry.claim_run("f", run_id(MOMENT))
    call = registry.begin_call("f")
    call.sends = 2
    assert call.pick_run(["x", run_id(MOMENT + 1)]) is None


def test_with_several_servers_ages_count_only_after_a_request_was_sent_twice() -> None:
    registry = RunRegistry()
    registry.claim_run("f", run_id(MOMENT))
    picked = []
    for sends in (0, 1, 2, 1):
        call = registry.begin_call("f", has_one_clock=False)
        call.sends = 1
        picked.append(call.pick_run([run_id(MOMENT - 1)]) is not None)
        call.sends = sends
        registry.end_call(call, is_settled=True)
    assert picked == [True, True, True, False]


def test_a_call_begins_without_requests() -> None:
    call = RunRegistry().begin_call("f")
    assert (call.flow_id, call.is_lost, call.is_settled, call.sends) == ("f", False, False, 0)
    assert call.sent == call.began <= time.monotonic()


def test_a_finished_call_owns_its_run_and_keeps_its_flow_if_settled() -> None:
    registry = RunRegistry()
    for flow_id, is_settled in (("f", True), ("g", False)):
        registry.record_shared_flow(flow_id.encode(), flow_id)
        registry.end_call(registry.begin_call(flow_id), is_settled=is_settled, run_id=f"run of {flow_id}")
        assert registry.filter_unowned([f"run of {flow_id}"]) == []
        assert registry.is_flow_only_run_by_this_client(flow_id) is is_settled


def test_a_flow_is_stored_by_one_call_at_a_time() -> None:
    registry = RunRegistry()
    assert [registry.try_lock_flow_or_key(digest) for digest in (b"d", b"d", b"e")] == [True, False, True]
    registry.release_flow_or_key(b"d")
    registry.release_flow_or_key(b"d")
    assert [registry.try_lock_flow_or_key(digest) for digest in (b"d", b"e")] == [True, False]


def test_each_process_has_its_own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registries = RunRegistries()
    first = registries.of_current_process
    assert registries.of_current_process is first
    monkeypatch.setattr("stepflow_client._rules.lost_creation._process", "another")
    second = registries.of_current_process
    assert second is registries.of_current_process is not first


def test_ended_calls_are_forgotten() -> None:
    registry = RunRegistry()
    for number in range(100):
        calls = [registry.begin_call(f"f{number}") for _ in range(2)]
        for call in calls:
            registry.end_call(call, is_settled=bool(number % 2))
    state: dict[str, Any] = vars(registry)
    assert not state["_open_calls"]


def test_only_the_newest_runs_are_remembered() -> None:
    registry = RunRegistry()
    for number in range(50_010):
        registry.claim_run("f", str(number))
    assert registry.filter_unowned(["9", "10", "50009"]) == ["9"]


def test_threads_share_a_registry() -> None:
    registry = RunRegistry()
    claimed: list[int] = []
    barrier = threading.Barrier(8)

    def claim_runs() -> None:
        barrier.wait()
        calls = [registry.begin_call("f") for _ in range(200)]
        claimed.append(sum(registry.claim_run("f", str(number)) for number in range(500)))
        for call in calls:
            registry.end_call(call, is_settled=True)

    threads = [threading.Thread(target=claim_runs) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(claimed) == 500
    assert registry.list_concurrent_calls(registry.begin_call("f")) == set()
