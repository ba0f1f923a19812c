"""The in-memory server: sub-flows, blobs, idempotency keys, held runs and the clock."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from stepflow_client import (
    ErrorCode,
    ExecutionStatus,
    IdempotencyConflictError,
    InvalidArgumentError,
    RunTimeoutError,
)
from stepflow_client.testing import Delayed, Fails, InTurn, fake_server, run_mocked

DRAFT: dict[str, Any] = {
    "name": "ticket",
    "steps": [
        {"id": "find", "component": "/shop/find", "input": {"$input": "$"}},
        {"id": "draft", "component": "/model/draft", "input": {"$step": "find"}},
    ],
    "output": {"text": {"$step": "draft"}},
}
COMPONENTS: dict[str, Any] = {"/shop/find": lambda value: value, "/model/draft": lambda value: f"Dear {value}"}
DONE = {"text": "Dear Ann"}
STATES = {"slow": "running", "quick": "completed"}


def test_blobs() -> None:
    with fake_server().sync_client() as client:
        for data, name in ((b"\x00\xff", "a b.bin"), (b"{}", None), ({"a": [1, 2.5, None]}, "x.json")):
            stored = client.store_blob(data, filename=name)
            read = client.get_blob(stored.blob_id)
            assert (read.data, read.filename) == (data, name)
            assert read.blob_type == ("binary" if isinstance(data, bytes) else "data")


def test_an_idempotency_key_names_one_run() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as one, server.sync_client() as other:
        run_id = one.submit(DRAFT, "Ann", idempotency_key="t1")
        assert other.submit(DRAFT, "Ann", idempotency_key="t1") == run_id
        assert other.submit(DRAFT, "Ann", idempotency_key="t2") != run_id
        with pytest.raises(IdempotencyConflictError):
            other.submit(DRAFT, "Bob", idempotency_key="t1")
        assert one.get_result(run_id).output == DONE
    assert [path for path, _ in server.calls].count("/model/draft") == 2


def test_a_held_run_stays_running_until_it_is_released() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as client:
        with server.hold("/model/draft"):
            run_id = client.submit(DRAFT, "Ann")
            assert client.get_run(run_id).status is ExecutionStatus.RUNNING
            steps = {step.step_id: step.status.value for step in client.get_run_steps(run_id)}
            assert steps == {"find": "completed", "draft": "running"}
            assert client.get_run_items(run_id).items[0].result is None
            with pytest.raises(RunTimeoutError):
                client.get_result(run_id, timeout=0.05)
            other = client.run({"output": {"$input": "$"}}, 1)
            assert other.output == 1
        result = client.get_result(run_id)
        assert result.output == DONE
        # The first step was not called again.
        assert server.calls == [("/shop/find", "Ann"), ("/model/draft", "Ann")]
        server.hold()
        run_id = client.submit(DRAFT, "Bob")
        server.release("/shop/find")
        steps = {step.step_id: step.status.value for step in client.get_run_steps(run_id)}
        assert steps == {"find": "completed", "draft": "running"}
        server.release()
        assert client.get_result(run_id).output == {"text": "Dear Bob"}
    with pytest.raises(
        InvalidArgumentError, match=r"unknown component '/model/darft' to hold \(did you mean '/model/draft'"
    ):
        server.hold("/model/darft")


def test_a_held_step_does_not_block_others() -> None:
    steps = [
        {"id": "slow", "component": "/model/draft", "input": 1},
        {"id": "after", "component": "/shop/find", "input": {"$step": "slow"}},
        {"id": "quick", "component": "/shop/find", "input": 2},
    ]
    server = fake_server(COMPONENTS)
    with server.sync_client() as client, server.hold("/model/draft"):
        run_id = client.submit({"steps": steps, "output": [{"$step": "after"}, {"$step": "quick"}]}, [1, 2])
        statuses = {(step.item_index, step.step_id): step.status.value for step in client.get_run_steps(run_id)}
    assert statuses == {
        (item, name): status for item in (0, 1) for name, status in (("slow", "running"), ("quick", "completed"))
    }


def test_a_held_run_can_be_cancelled() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as client:
        with server.hold("/model/draft"):
            run_id = client.submit(DRAFT, "Ann")
            assert client.cancel_run(run_id).status is ExecutionStatus.CANCELLED
            assert client.get_result(run_id).is_cancelled
            last = [*client.run_events(run_id)][-1]
            assert (last.type, last.status) == ("run_completed", ExecutionStatus.CANCELLED)
        assert client.get_run(run_id).status is ExecutionStatus.CANCELLED
    assert server.calls == [("/shop/find", "Ann")]


def test_the_clock() -> None:
    server = fake_server({**COMPONENTS, "/model/draft": lambda value: Delayed(f"Dear {value}", 30)})
    with server.sync_client() as client:
        run_id = client.submit(DRAFT, "Ann")
        server.advance(29)
        assert client.get_run(run_id).status is ExecutionStatus.RUNNING
        server.advance(1)
        run = client.get_run(run_id)
        assert run.status is ExecutionStatus.COMPLETED
        assert run.completed_at is not None
        assert 30 <= (run.completed_at - run.created_at).total_seconds() < 60
        with pytest.raises(InvalidArgumentError):
            server.advance(-1)
        sleeps = {"steps": [{"id": "s", "component": "/builtin/sleep", "input": {"duration_ms": 500}}], "output": 1}
        sleeps["output"] = {"$step": "s"}
        run_id = client.submit(sleeps)
        assert client.get_run(run_id).status is ExecutionStatus.RUNNING
        server.advance(0.5)
        assert client.get_result(run_id).output == {"duration_ms": 500}


def test_outcomes_in_turn_and_retries() -> None:
    flow = {
        **DRAFT,
        "steps": [DRAFT["steps"][0], {**DRAFT["steps"][1], "onError": {"action": "retry", "maxRetries": 2}}],
    }
    outcomes = [
        Fails("COMPONENT_FAILED", "no"),
        Delayed(Fails("RESOURCE_UNAVAILABLE"), 5),
        "Dear",
        Fails("TIMEOUT", "slow"),
    ]
    server = fake_server({**COMPONENTS, "/model/draft": InTurn(*outcomes)})
    with server.sync_client() as client:
        run_id = client.submit(flow, "Ann")
        server.advance(5)
        assert client.get_result(run_id).output == {"text": "Dear"}
        started = [
            event for event in client.run_events(run_id) if event.type == "step_started" and event.step_id == "draft"
        ]
        assert [event.attempt for event in started] == [1, 2, 3]
        failed = client.run(flow, "Ann")
        assert failed.error is not None
        assert (failed.error.code, failed.error.message, failed.error.step_id) == (ErrorCode.TIMEOUT, "slow", "draft")
    assert [path for path, _ in server.calls].count("/model/draft") == 4


def test_a_stream_in_progress() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as client:
        server.hold("/model/draft")
        run_id = client.submit(DRAFT, "Ann")
        types = []
        with client.run_events(run_id) as events:
            for event in events:
                types.append(event.type)
                if event.type == "step_started" and event.step_id == "draft":
                    server.release()
    assert types[:2] == ["run_created", "steps_needed"]
    assert types[2:] == ["step_started", "step_completed", "step_started", "step_completed", "run_completed"]
    # A single stream stayed open.
    assert [path for _, path in server.requests].count(f"/runs/{run_id}/events") == 1


async def test_asynchronous_calls_wait_for_the_release() -> None:
    server = fake_server(COMPONENTS)
    async with server.client() as client:
        server.hold("/model/draft")
        waiting = asyncio.create_task(client.run(DRAFT, "Ann"))
        run_id = await client.submit(DRAFT, "Ann")

        async def read_types() -> list[str]:
            return [event.type async for event in client.run_events(run_id)]

        following = asyncio.create_task(read_types())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert not following.done()
        server.release()
        assert (await asyncio.wait_for(waiting, 10)).output == DONE
        assert (await asyncio.wait_for(following, 10))[-1] == "run_completed"


def test_another_thread_may_release() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as client:
        server.hold()
        thread = threading.Thread(target=lambda: (time.sleep(0.1), server.release()))
        thread.start()
        assert client.run(DRAFT, "Ann").output == DONE
        thread.join()


def map_of(inner: dict[str, Any], items: Any) -> dict[str, Any]:
    step = {"id": "each", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": items}}
    return {"steps": [step], "output": {"$step": "each"}}


def test_map_and_its_sub_run() -> None:
    server = fake_server(COMPONENTS)
    with server.sync_client() as client:
        server.hold("/model/draft")
        run_id = client.submit(map_of(DRAFT, ["Ann", {"$input": "$"}]), "Bob")
        (child,) = client.list_runs(parent_run_id=run_id).runs
        assert (child.status, child.items.total, child.parent_run_id) == (ExecutionStatus.RUNNING, 2, run_id)
        assert [run.run_id for run in client.list_runs().runs if run.parent_run_id is None] == [run_id]
        server.release()
        output = client.get_result(run_id).output
        assert output == {
            "results": [{"outcome": "success", "result": {"text": f"Dear {name}"}} for name in ("Ann", "Bob")],
            "successful": 2,
            "failed": 0,
        }
        types = [event.type for event in client.run_events(run_id, include_sub_runs=True)]
        assert types.count("step_started") == 5
        assert [event.type for event in client.run_events(run_id)].count("step_started") == 1
        assert [event.type for event in client.run_events(child.run_id)].count("step_started") == 4
        assert client.wait_run(child.run_id).status is ExecutionStatus.COMPLETED
    assert [path for path, _ in server.calls] == ["/shop/find", "/shop/find", "/model/draft", "/model/draft"]


def test_a_batch_with_map() -> None:
    server = fake_server({"/model/draft": InTurn("a", Fails("TIMEOUT"), "c"), "/shop/find": 1})
    with server.sync_client() as client:
        outcomes = list(client.map(DRAFT, ["x", "y", "z"]))
    assert sorted(str(each.output) for each in outcomes) == ["None", "{'text': 'a'}", "{'text': 'c'}"]


def test_run_mocked_replaces_steps() -> None:
    server = fake_server()
    with server.sync_client() as client:
        failed = run_mocked(client, DRAFT, "Ann", mocks={"find": 1, "draft": Fails("TIMEOUT", "slow: 'x'")})
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == (ErrorCode.TIMEOUT, "slow: 'x'")
        account = client.explain_run(failed.run_id)
        assert (account.cause, account.error and account.error.message) == ("draft", "slow: 'x'")
        done = run_mocked(client, map_of(DRAFT, [1, 2]), mocks={"find": 1, "draft": InTurn("a", "b")})
        assert [each["result"]["text"] for each in done.output["results"]] == ["a", "b"]
