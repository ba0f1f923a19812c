"""Idempotency keys with a scope: one run per key and scope, across versions of the flow."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import IdempotencyConflictError, InvalidArgumentError, StepflowClient, SyncStepflowClient
from stepflow_client.history import History

from tests.durable import DurableServer

pytestmark = [pytest.mark.anyio]

KEYED = {"idempotency_key": "doc-42", "idempotency_scope": "ticket"}


def version(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a version of a flow that outputs its number and the input."""
    return {"name": name, "steps": [], "output": {"version": number, "n": {"$input": "n"}}, **more}


@pytest.fixture
def name() -> str:
    return f"scoped-{time.time_ns()}"


@pytest.fixture
def keyed(name: str) -> dict[str, Any]:
    """A key in a scope that only this test uses."""
    return {"idempotency_key": "doc-42", "idempotency_scope": name}


async def test_a_deploy_finds_the_run_of_the_older_version(
    client: Any, worker_runtime: Any, name: str, keyed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    old, new = version(1, name), version(2, f"{name}-renamed")
    assert await client.find_run(**keyed) is None
    first = await client.run(old, {"n": 1}, **keyed)
    assert (first.output, first.older_flow_id) == ({"version": 1, "n": 1}, None)
    with caplog.at_level(logging.INFO, logger="stepflow.client"):
        again = await client.run(new, {"n": 1}, **keyed)
    older = (await client.get_run(first.run_id)).flow_id
    assert (again.run_id, again.output, again.older_flow_id) == (first.run_id, first.output, older)
    assert f"run {first.run_id} for the idempotency key 'doc-42' has a different flow: {older}" in caplog.messages
    handle = await client.start_run(new, {"n": 1}, **keyed)
    assert (handle.older_flow_id, (await handle.result()).older_flow_id) == (older, older)
    assert (await client.start_run(old, {"n": 1}, **keyed)).older_flow_id is None
    assert (await client.find_run(**keyed)).flow_id == older
    assert (await client.find_run(new, **keyed)).run_id == first.run_id
    assert (await client.run(old, {"n": 1}, **keyed)).older_flow_id is None
    with SyncStepflowClient(worker_runtime.url, idempotency_scope=name) as other:
        assert other.submit(new, {"n": 1}, idempotency_key="doc-42") == first.run_id
        assert other.start_run(new, {"n": 1}, idempotency_key="doc-42").run_id == first.run_id
        found = other.find_run(idempotency_key="doc-42")
        assert found is not None
        assert found.run_id == first.run_id
        assert other.run(new, {"n": 1}, idempotency_key="doc-43", idempotency_scope=f"{name}2").output["version"] == 2
    assert len((await client.list_runs(flow_name=name)).runs) == 1
    # The flow that the client returns contains neither the key nor the scope.
    assert "metadata" not in (await client.get_run_flow(first.run_id)).flow


async def test_a_different_input_is_refused_for_another_version_too(
    client: Any, name: str, keyed: dict[str, Any]
) -> None:
    run_id = await client.submit(version(1, name), {"n": 1}, **keyed)
    with pytest.raises(IdempotencyConflictError, match=f"run {run_id} already exists for the idempotency key 'doc-42'"):
        await client.submit(version(2, name), {"n": 2}, **keyed)


async def test_scopes_and_keys_do_not_collide(client: Any, name: str) -> None:
    flow = version(1, name)
    keys: list[dict[str, Any]] = [
        {"idempotency_key": "b", "idempotency_scope": f"{name}a"},
        {"idempotency_key": "b"},
        {"idempotency_key": f'["{name}a", "b"]'},
        {"idempotency_key": 'a", "b', "idempotency_scope": name},
        {"idempotency_key": "b", "idempotency_scope": f'{name}", "a'},
        {"idempotency_key": "ab", "idempotency_scope": name},
    ]
    ids = [await client.submit(flow, {"n": 1}, **key) for key in keys]
    assert len({*ids}) == len(keys)
    assert [await client.submit(flow, {"n": 1}, **key) for key in keys] == ids
    with pytest.raises(InvalidArgumentError, match="pass the flow to find_run"):
        await client.find_run(idempotency_key="b")


async def test_an_option_sets_the_scope(worker_runtime: Any, name: str) -> None:
    scoped = worker_runtime.with_options(idempotency_scope=name)
    done = await scoped.run(version(1, name), {"n": 1}, idempotency_key="k")
    assert (await scoped.find_run(idempotency_key="k")).run_id == done.run_id
    assert (await scoped.run(version(2, name), {"n": 1}, idempotency_key="k")).run_id == done.run_id
    # Without a key, the scope has no effect.
    assert (await scoped.run(version(2, name), {"n": 1})).output["version"] == 2


def declaring(**variables: Any) -> dict[str, Any]:
    return {"schemas": {"properties": {"variables": {"type": "object", "properties": variables}}}}


async def test_newly_declared_variables_do_not_change_the_call(
    client: Any, name: str, keyed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPFLOW_VAR_TONE", "warm")
    monkeypatch.setenv("STEPFLOW_VAR_MODEL", "large")
    text: dict[str, Any] = {"type": "string"}
    old = version(1, name, **declaring(tone=text, token=text))
    new = version(2, name, **declaring(tone=text, token={**text, "is_secret": True}, model=text))
    arguments: dict[str, Any] = {"variables": {"token": "t"}, "variables_from_env": True, **keyed}
    first = await client.run(old, {"n": 1}, **arguments)
    assert (await client.run(new, {"n": 1}, **arguments)).run_id == first.run_id
    with pytest.raises(IdempotencyConflictError):
        await client.run(new, {"n": 1}, **{**arguments, "variables": {"token": "another"}})
    assert (await client.run(old, {"n": 1}, **arguments)).run_id == first.run_id


async def test_the_history_records_the_flow_version_of_the_run(
    worker_runtime: Any, name: str, keyed: dict[str, Any], tmp_path: Path
) -> None:
    old, new = version(1, name), version(2, name)
    async with StepflowClient(worker_runtime.url) as client:
        first = await client.run(old, {"n": 1}, **keyed)
    async with StepflowClient(worker_runtime.url, history=History(tmp_path / "h.db")) as client:
        await client.run(new, {"n": 1}, **keyed)
        (entry,) = History(tmp_path / "h.db").search()
        assert (entry.run_id, entry.flow["output"]["version"], entry.input) == (first.run_id, 1, {"n": 1})
        assert entry.flow_id == (await client.get_run(first.run_id)).flow_id
        rerun = await client.rerun(first.run_id)
        assert rerun.result.output == {"version": 1, "n": 1}


KILLED = """
import os, sys
from stepflow_client import SyncStepflowClient
from stepflow_client._sync.run_creation import RunCreator
create = RunCreator.create_run_of_copy
def and_die(*args, **more):
    if sys.argv[3] == "after":
        print(create(*args, **more).run_id, flush=True)
    os.kill(os.getpid(), 9)
RunCreator.create_run_of_copy = and_die
with SyncStepflowClient(sys.argv[1], idempotency_scope="ticket") as client:
    flow = {"name": sys.argv[2], "steps": [], "output": {"version": 1, "n": {"$input": "n"}}}
    client.run(flow, {"n": 1}, idempotency_key="doc-42")
"""


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_killed_process_and_a_deploy_leave_one_run(
    tmp_path: Path, release: str, when: str, restarted: bool
) -> None:
    server, name = DurableServer(tmp_path, release), f"killed-{time.time_ns()}"
    server.start()
    try:
        server.wait_ready()
        command = [sys.executable, "-c", KILLED, server.url, name, when]
        killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert killed.returncode == -9, killed.stderr
        if restarted:
            server.kill()
            server.start()
            server.wait_ready()
        with SyncStepflowClient(server.url) as client:
            new, created = version(2, f"{name}-renamed"), killed.stdout.strip()
            found = client.find_run(**KEYED)
            assert (found and found.run_id) == (created or None)
            again = client.run(new, {"n": 1}, **KEYED)
            assert again.output["version"] == (1 if when == "after" else 2)
            assert created in ("", again.run_id)
            assert client.run(version(3, name), {"n": 1}, **KEYED).run_id == again.run_id
            assert len(client.list_runs().runs) == 1
            with pytest.raises(IdempotencyConflictError, match="different input"):
                client.run(new, {"n": 2}, **KEYED)
    finally:
        server.kill()


RACE = """
import sys
from stepflow_client import SyncStepflowClient
url, name, number = sys.argv[1:]
with SyncStepflowClient(url, idempotency_scope="ticket") as client:
    client.health_check()
    flow = {"name": name + number, "steps": [], "output": {"version": number, "n": {"$input": "n"}}}
    print(flush=True)
    for line in sys.stdin:
        print(client.run(flow, {"n": 1}, idempotency_key=line.strip()).run_id, flush=True)
"""


def test_programs_with_two_versions_of_a_flow_share_runs(tmp_path: Path, release: str) -> None:
    """Simulate a rolling deploy: two programs of each version use the same keys at the same time."""
    server, name, keys = DurableServer(tmp_path, release), f"race-{time.time_ns()}-", [f"doc-{n}" for n in range(10)]
    server.start()
    callers: list[subprocess.Popen[str]] = []
    try:
        server.wait_ready()
        pipe = subprocess.PIPE
        for number in ("1", "2", "1", "2"):
            command = [sys.executable, "-c", RACE, server.url, name, number]
            callers.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        for caller in callers:
            assert caller.stdout is not None
            caller.stdout.readline()
        with ThreadPoolExecutor() as pool:
            outputs = pool.map(lambda caller: caller.communicate("\n".join(keys) + "\n"), callers)
        run_ids = [output.split() for output, _ in outputs]
        assert all(each == run_ids[0] for each in run_ids)
        with SyncStepflowClient(server.url) as client:
            # There is no second run, which only a creation delayed by two seconds would have caused.
            assert sorted(run.run_id for run in client.list_runs().runs) == sorted(run_ids[0])
    finally:
        for caller in callers:
            caller.kill()
            caller.wait()
        server.kill()
