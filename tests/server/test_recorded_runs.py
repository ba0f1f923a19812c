"""A client with a history records its runs, their arguments and how they ended."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from stepflow_client import InvalidArgumentError, NotFoundError, StepflowClientError
from stepflow_client.history import History

from tests.differences import has
from tests.server.flows import ECHO, FAIL, one_step, unique

pytestmark = pytest.mark.anyio

SECRET = "hunter2-wolpertinger"


async def test_runs_are_recorded_with_their_final_status(recorded: Any, history: History, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(one_step(ECHO, name=unique("recorded"))))
    result = await recorded.run(file, {"n": 1})
    batch = await recorded.submit(one_step(FAIL), [[1], [2]])
    started = history.get(batch)
    assert started is not None
    assert (started.status, started.input, started.flow_file) == (None, [[1], [2]], None)
    await recorded.get_results(batch)
    first, second = history.get(result.run_id), history.get(batch)
    assert first is not None
    assert second is not None
    assert (first.status, first.input, first.flow_file) == ("completed", {"n": 1}, str(file))
    assert (first.flow, first.server) == (json.loads(file.read_text()), recorded.url)
    assert second.status == "failed"
    by_id = await recorded.create_run(first.flow_id, [[1, 2]], variables=None)
    await recorded.wait_run(by_id.run_id)
    third = history.get(by_id.run_id)
    assert third is not None
    assert (third.status, third.input, third.flow_id) == ("completed", [[1, 2]], first.flow_id)


@pytest.mark.parametrize("observe_by", ["get_run", "events"])
async def test_an_end_that_the_client_merely_observes_is_recorded(
    recorded: Any, client: Any, history: History, observe_by: str, request: pytest.FixtureRequest
) -> None:
    run_id = await recorded.submit(one_step(FAIL))
    await client.wait_run(run_id)
    history.update(run_id, status="cancelled")  # as after a cancellation that came too late
    if observe_by == "get_run":
        await recorded.get_run(run_id)
    else:
        request.getfixturevalue("needs_events")
        assert [event async for event in recorded.run_events(run_id)][-1].type == "run_completed"
    entry = history.get(run_id)
    assert entry is not None
    assert entry.status == "failed"


async def test_the_arguments_of_a_run(recorded: Any, client: Any, release: str, history: History) -> None:
    flow = one_step(ECHO, {"n": 0, "given": {"$input": "n"}}, name=unique("given"))
    changes = {"only": {"input": {"n": 9}}}
    result = await recorded.run(flow, {"n": 1}, changes, variables={"who": "Ada"})
    assert result.output == {"n": 9, "given": 1}
    arguments = await recorded.get_run_arguments(result.run_id)
    assert (arguments.inputs, arguments.variables, arguments.is_recorded) == ([{"n": 1}], {"who": "Ada"}, True)
    assert arguments.overrides == changes
    batch = await recorded.submit(one_step(ECHO), [[1], [2], None])
    await recorded.get_results(batch)
    assert (await recorded.get_run_arguments(batch)).inputs == [[1], [2], None]
    # A client without history only learns what the server reports: older servers report all but the variables.
    reported = await client.get_run_arguments(result.run_id)
    assert (reported.variables, reported.labels, reported.is_recorded) == (None, {}, False)
    is_reported = not has(release, "events")
    assert reported.inputs == ([{"n": 1}] if is_reported else None)
    assert reported.overrides == (changes if is_reported else None)
    assert (await client.get_run_arguments(batch)).inputs == ([[1], [2], None] if is_reported else None)
    history.record(result.run_id, input=None, labels={"env": "dev"}, note="why")
    annotated = await recorded.get_run_arguments(result.run_id)
    assert (annotated.labels, annotated.note) == ({"env": "dev"}, "why")


async def test_a_run_that_another_client_created_for_the_key_is_recorded(
    recorded: Any, client: Any, history: History
) -> None:
    flow = one_step(ECHO, name=unique("keyed"))
    elsewhere = await client.run(flow, {"n": 1}, idempotency_key="both")
    here = await recorded.run(flow, {"n": 1}, idempotency_key="both", timeout=60)
    entry = history.get(here.run_id)
    assert (here.run_id, entry.input, entry.status) == (elsewhere.run_id, {"n": 1}, "completed")
    history.record(here.run_id, input={"n": 1}, note="mine")
    await recorded.run(flow, {"n": 1}, idempotency_key="both", timeout=60)
    assert history.get(here.run_id).note == "mine", "it was recorded before"
    assert (await recorded.rerun(here.run_id, timeout=60)).result.output == here.output


async def test_each_run_of_a_batch_with_keys_is_recorded(recorded: Any, history: History, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(one_step(ECHO, name=unique("keyed"))))
    for labels in ({"a": "1"}, {"b": "2"}):
        options = {"idempotency_key": str, "labels": labels}
        ended = [outcome.run_id async for outcome in recorded.map(file, [1, 2, 1], **options)]
    entries = history.search(labels={"a": "1", "b": "2"})
    assert {entry.run_id for entry in entries} == set(ended)
    assert [(entry.status, entry.flow_file) for entry in entries] == [("completed", str(file))] * 2


async def test_the_arguments_of_an_unknown_run(recorded: Any, history: History) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFoundError):
        await recorded.get_run_arguments(unknown)
    history.record(unknown, input={"n": 1})
    assert (await recorded.get_run_arguments(unknown)).inputs == [{"n": 1}], "the server may have lost it"


async def test_a_secret_variable_is_nowhere_in_the_file(recorded: Any, history: History) -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "is_secret": True}}}
    flow = one_step(ECHO, {"$variable": "key"}, schemas={"type": "object", "properties": {"variables": schema}})
    result = await recorded.run(flow, {"copy": f"Bearer {SECRET}"}, variables={"key": SECRET})
    assert result.output == SECRET
    entry = history.get(result.run_id)
    assert entry is not None
    assert (entry.variables, entry.input) == ({"key": "***"}, {"copy": "Bearer ***"})
    assert not [each for each in history.path.parent.iterdir() if SECRET.encode() in each.read_bytes()]


async def test_an_unwritable_history_does_not_fail_runs(
    recorded: Any, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    history.path.mkdir()
    for _ in range(2):
        assert (await recorded.run(one_step(ECHO), 1)).is_success
    assert caplog.text.count("the history cannot") == 1


async def test_rerun_inherits_recorded_arguments(recorded: Any, history: History) -> None:
    flow = one_step(ECHO, name=unique("again"))
    flow["schemas"] = {"properties": {"variables": {"properties": {"key": {"type": "string", "is_secret": True}}}}}
    flow["output"] = {"echo": flow["output"], "in": {"$input": "$"}, "key": {"$variable": "key"}}
    flow["output"]["city"] = {"$variable": "city"}
    first = await recorded.run(flow, {"n": 1}, variables={"key": SECRET, "city": "Oslo"})
    with pytest.raises(InvalidArgumentError, match="secret variable 'key'"):
        await recorded.rerun(first.run_id)
    plan = await recorded.plan_rerun(first.run_id, variables={"key": "new"})
    assert list(plan.recorded) == ["input", "variables"]
    assert list(plan.unknown) == []
    again = await recorded.rerun(first.run_id, variables={"key": "new-secret"})
    assert again.result.output == {**first.output, "key": "new-secret"}
    changed = await recorded.rerun(first.run_id, input={"n": 2}, variables={"key": "new-secret", "city": "Rome"})
    assert (changed.result.output["in"], changed.result.output["city"]) == ({"n": 2}, "Rome")
    listed = await recorded.submit(flow, [[1, 2]], variables={"key": "k", "city": "Oslo"})
    await recorded.wait_run(listed)
    assert (await recorded.rerun(listed, variables={"key": "k"})).result.output["in"] == [1, 2]
    batch = await recorded.submit(flow, [1, 2], variables={"key": "k", "city": "Oslo"})
    await recorded.wait_run(batch)
    assert [each.output["in"] for each in (await recorded.rerun(batch, variables={"key": "k"})).results] == [1, 2]
    quoted = await recorded.run(flow, {"n": SECRET}, variables={"key": SECRET, "city": "Oslo"})
    with pytest.raises(InvalidArgumentError, match="history does not contain"):
        await recorded.rerun(quoted.run_id, variables={"key": SECRET})
    url = await recorded.run(flow, "https://me:pa55@host", variables={"key": SECRET, "city": "Oslo"})
    with pytest.raises(InvalidArgumentError, match="history does not contain"):
        await recorded.rerun(url.run_id, variables={"key": SECRET})


async def test_given_overrides_of_a_rerun_precede_inherited_overrides(recorded: Any) -> None:
    step = {"id": "two", "component": ECHO, "input": {"a": 1, "b": 1, "c": 1}}
    flow = {"name": unique("changed"), "steps": [step], "output": {"$step": "two"}}
    first = await recorded.run(flow, None, {"two": {"input": {"a": 2, "b": 2}}})
    again = await recorded.rerun(first.run_id, overrides=[{"two": {"input": {"b": 0}}}, {"two": {"input": {"b": 3}}}])
    assert (again.plan.recorded, again.result.output) == (["overrides"], {"a": 2, "b": 3, "c": 1})
    assert (await recorded.rerun(again.result.run_id)).result.output == again.result.output


KILLED = """if True:
    import os, signal, sys
    from stepflow_client import SyncStepflowClient
    from stepflow_client.history import History

    class Killed(History):
        def confirm(self, entry_id, run_id):
            os.kill(os.getpid(), signal.SIGKILL)

    flow, key = eval(sys.argv[3]), sys.argv[4] or None
    with SyncStepflowClient(sys.argv[1], history=Killed(sys.argv[2])) as client:
        client.run(flow, {"n": 1}, labels={"env": "dev"}, idempotency_key=key)
"""


@pytest.mark.parametrize("key", ["", "order-1"])
async def test_a_process_killed_before_it_confirms_a_run_leaves_an_unconfirmed_entry(
    recorded: Any, history: History, key: str
) -> None:
    flow = one_step(ECHO, name=unique("killed"))
    arguments = [recorded.url, history.location, repr(flow), key]
    killed = await anyio.run_process([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (entry,) = history.search(confirmed=None)
    assert (entry.is_confirmed, entry.input, entry.labels) == (False, {"n": 1}, {"env": "dev"})
    (run,) = [each async for each in recorded.iter_runs(flow_name=flow["name"])]
    listed = await recorded.list_runs(labels={"env": "dev"})
    if not key:
        # Without a key, it could be the run of another program.
        assert listed.runs == []
        assert history.search(confirmed=None) == [entry]
        return
    assert [each.run_id for each in listed.runs] == [run.run_id]
    (confirmed,) = history.search(confirmed=None)
    assert confirmed == replace(entry, run_id=run.run_id)
    assert (await recorded.run(flow, {"n": 1}, idempotency_key=key)).run_id == run.run_id
    assert len(history.search(confirmed=None)) == 1


async def test_unconfirmed_runs_missing_from_a_list_are_logged(
    recorded: Any, history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    history.record(None, labels={"env": "dev"})
    assert (await recorded.list_runs(labels={"env": "dev"})).runs == []
    assert caplog.messages == [], "the run may be in creation"
    monkeypatch.setattr("stepflow_client._telemetry.history_recorder._MAX_CREATION_SECONDS", 0.0)
    assert (await recorded.list_runs(labels={"env": "dev"})).runs == []
    assert [each.partition(":")[0] for each in caplog.messages] == ["some runs with these labels may not be listed"]


async def test_a_call_with_the_key_of_a_killed_process_completes_its_entry(recorded: Any, history: History) -> None:
    flow = one_step(ECHO, name=unique("killed"))
    arguments = [recorded.url, history.location, repr(flow), "order-2"]
    await anyio.run_process([sys.executable, "-c", KILLED, *arguments], check=False)
    result = await recorded.run(flow, {"n": 1}, idempotency_key="order-2", labels={"env": "dev"})
    (entry,) = history.search(confirmed=None)
    assert (entry.run_id, entry.labels, entry.status) == (result.run_id, {"env": "dev"}, "completed")


async def test_a_refused_run_leaves_no_entry(recorded: Any, history: History) -> None:
    with pytest.raises(StepflowClientError):
        await recorded.create_run("0" * 64, [[1]])
    assert history.search(confirmed=None) == []
