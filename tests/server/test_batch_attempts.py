"""`map`: inputs that run again, outputs of a type, checked inputs and keys, with and without a journal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import (
    ErrorCode,
    InvalidArgumentError,
    JournalError,
    Outcome,
    OutputTypeError,
    RunFailedError,
    RunTimeoutError,
    StepflowClient,
    SyncStepflowClient,
    TransportError,
    read_inputs,
)

from tests.durable import DurableServer
from tests.server.flows import PRESENT, one_step, unique
from tests.timings import set_timings

pytestmark = [pytest.mark.anyio]

NOOP: dict[str, Any] = {"steps": [], "output": {"$input": "n"}}
UNROUTED = one_step("/nowhere/at_all")
TYPED = {**NOOP, "schemas": {"type": "object", "properties": {"input": {"properties": {"n": {"type": "integer"}}}}}}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, retry_first_pause=0.02)


async def collect(client: Any, flow: Any, inputs: Any, **options: Any) -> list[Outcome[Any]]:
    async with aclosing(client.map(flow, inputs, **options)) as outcomes:
        return sorted([outcome async for outcome in outcomes], key=lambda outcome: outcome.index)


async def runs_of(client: Any, flow: dict[str, Any]) -> list[Any]:
    return list((await client.list_runs(flow_name=flow["name"])).runs)


def missing(marker: Path, count: int, every: int, **more: Any) -> list[dict[str, Any]]:
    """Inputs of `PRESENT`; some of them fail until the marker is there."""
    return [{"value": n, "file": str(marker if n % every == 0 else Path(__file__)), **more} for n in range(count)]


def touching(marker: Path) -> Callable[[Outcome[Any]], bool]:
    """A rule that removes the reason for the failure."""

    def retry_on(outcome: Outcome[Any]) -> bool:
        assert not outcome.is_success
        marker.touch()
        return True

    return retry_on


@pytest.mark.parametrize("ordered", [False, True])
async def test_failed_inputs_run_again_and_others_do_not(client: Any, tmp_path: Path, ordered: bool) -> None:
    marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("again"))
    inputs, told = missing(marker, 40, every=7), list[Any]()
    options = {"max_attempts": 3, "retry_on": touching(marker), "chunk_size": 10, "progress": told.append}
    outcomes = await collect(client, flow, inputs, max_concurrency=1, ordered=ordered, **options)
    assert [outcome.output for outcome in outcomes] == list(range(40))
    # The marker is there from the first failure on, so the first chunk alone has inputs to run again.
    assert [outcome.index for outcome in outcomes if outcome.attempts == 2] == [0, 7]
    assert {outcome.attempts for outcome in outcomes} == {1, 2}
    runs = await runs_of(client, flow)
    assert sorted(run.items.total for run in runs) == [2, 10, 10, 10, 10]
    assert (told[-1].completed, told[-1].failed, told[-1].status) == (40, 0, "completed")


async def test_an_input_that_never_succeeds_has_its_last_outcome(client: Any) -> None:
    flow = {**UNROUTED, "name": unique("unrouted")}
    outcomes = await collect(client, flow, [{}, {"bad": {1}}, {}], max_attempts=3)
    runs = await runs_of(client, flow)
    assert [outcome.attempts for outcome in outcomes] == [3, 0, 3]
    assert outcomes[0].error is not None
    assert (outcomes[0].error.code, outcomes[0].error.is_retryable) == ("orchestrator", True)
    assert {outcomes[0].run_id, outcomes[2].run_id} == {max(run.run_id for run in runs)}
    assert [run.items.total for run in runs] == [2, 2, 2]
    assert outcomes[0].to_dict()["attempts"] == 3
    with pytest.raises(RunFailedError, match="input 0 failed"):
        await collect(client, flow, [{}], max_attempts=2, on_error="raise")


async def test_only_what_is_retryable_or_named_runs_again(client: Any) -> None:
    failing = {"steps": [], "output": {"$input": "missing"}}
    for options, attempts in (
        ({}, 1),
        ({"max_attempts": 2}, 1),
        ({"max_attempts": 2, "retry_on": {"expression_failed"}}, 2),
        ({"max_attempts": 2, "retry_on": ErrorCode.EXPRESSION_FAILED}, 2),
        ({"max_attempts": 2, "retry_on": ["lost", "timeout"]}, 1),
        ({"max_attempts": 2, "retry_on": lambda outcome: outcome.key == "again"}, 1),
    ):
        assert [each.attempts for each in await collect(client, failing, [{"id": 1}], **options)] == [attempts], options
    # Exactly what is named: a routing error is not.
    assert [each.attempts for each in await collect(client, UNROUTED, [1], max_attempts=2, retry_on={"lost"})] == [1]
    again = client.with_options(max_attempts=2)
    assert [each.attempts for each in await collect(again, UNROUTED, [1])] == [2]


async def async_rule(outcome: Any) -> bool:
    raise AssertionError("nobody awaits it")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"retry_on": {"lost"}}, "retry_on needs max_attempts"),
        ({"max_attempts": 2, "retry_on": {"timeuot"}}, "'timeuot', which is not an error code"),
        ({"max_attempts": 2, "retry_on": 3}, "retry_on"),
        ({"max_attempts": 2, "retry_on": async_rule}, "retry_on"),
        ({"check_input": "yes"}, "check_input"),
        ({"output_type": object()}, "output_type"),
        ({"total": -1}, "total"),
        ({"idempotency_key": "doc"}, "idempotency_key"),
        ({"idempotency_key": async_rule}, "idempotency_key"),
        ({"idempotency_key": str, "journal": "j"}, "idempotency_key and journal cannot be used together"),
        ({"idempotency_key": str, "max_attempts": 2}, "idempotency_key and max_attempts cannot be used together"),
        ({"idempotency_key": str, "chunk_size": 5}, "idempotency_key and chunk_size cannot be used together"),
    ],
)
async def test_wrong_options_are_refused(client: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        await collect(client, NOOP, [1], **options)


async def test_what_the_rule_raises_ends_the_batch(client: Any) -> None:
    def rule(outcome: Outcome[Any]) -> bool:
        raise LookupError("from the rule")

    with pytest.raises(LookupError, match="from the rule"):
        await collect(client, UNROUTED, [1], max_attempts=2, retry_on=rule)


async def test_no_run_is_started_once_the_batch_has_ended(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = {**UNROUTED, "name": unique("ended")}
    monkeypatch.setattr(client._connection, "timings", client._connection.timings._replace(retry_first_pause=2.0))
    with pytest.raises(RunTimeoutError):
        await collect(client, flow, [1], max_attempts=5, timeout=0.7)
    await asyncio.sleep(2.0)
    assert len(await runs_of(client, flow)) == 1


async def test_the_run_of_the_current_attempt_is_cancelled(client: Any, tmp_path: Path) -> None:
    # Without its file, the component returns at once, and the output is of the wrong type.
    marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("cancelled"))
    options = {"output_type": int, "max_attempts": 2, "retry_on": touching(marker)}
    slow = {"file": str(marker), "missing": "text", "seconds": 9, "value": 1}
    with pytest.raises(RunTimeoutError, match="its runs were cancelled"):
        await collect(client, flow, [slow], on_cancel="cancel", timeout=4.0, **options)
    runs = sorted(await runs_of(client, flow), key=lambda run: run.run_id)
    assert [run.status.value for run in runs] == ["completed", "cancelled"]


class Doubled(BaseModel):
    n: int


async def test_outputs_of_a_type(client: Any, tmp_path: Path) -> None:
    echo = {"steps": [], "output": {"$input": "$"}}
    inputs = [{"n": 1}, {"m": 2}, {"n": "three"}]
    outcomes = await collect(client, echo, inputs, output_type=Doubled)
    assert [outcome.output for outcome in outcomes] == [Doubled(n=1), None, None]
    assert [outcome.is_failed for outcome in outcomes] == [False, True, True]
    error = outcomes[1].error
    assert error is not None
    assert (error.code, error.is_retryable) == (ErrorCode.INVALID_OUTPUT, False)
    assert outcomes[0].to_dict()["output"] == {"n": 1}
    with pytest.raises(OutputTypeError, match=r"input 1: the output of run .* does not fit Doubled: \$\.n") as refused:
        outcomes[1].unwrap()
    assert (refused.value.details, refused.value.run_id) == (error.details, outcomes[1].run_id)
    with pytest.raises(OutputTypeError, match="input 1"):
        await collect(client, echo, inputs, output_type=Doubled, on_error="raise", ordered=True)
    again = await collect(client, echo, inputs, output_type=Doubled, max_attempts=2, retry_on={"invalid_output"})
    assert [outcome.attempts for outcome in again] == [1, 2, 2]


async def test_the_journal_keeps_outputs_as_they_are(client: Any, tmp_path: Path) -> None:
    echo, inputs = {"steps": [], "output": {"$input": "$"}}, [{"n": 1}, {"m": 2}]
    first = await collect(client, echo, inputs, output_type=Doubled, journal=tmp_path / "j")
    assert [outcome.is_success for outcome in first] == [True, False]
    plain = await collect(client, echo, inputs, journal=tmp_path / "j")
    assert [outcome.output for outcome in plain] == inputs


async def test_inputs_that_the_schema_refuses_are_not_sent(client: Any) -> None:
    flow = {**TYPED, "name": unique("checked")}
    inputs = [{"n": 1}, {"n": "x"}, Doubled(n=3), {"n": None}]
    outcomes = await collect(client, flow, inputs)
    assert [outcome.output for outcome in outcomes] == [1, None, 3, None]
    assert [(each.run_id, each.attempts) for each in (outcomes[1], outcomes[3])] == [(None, 0)] * 2
    assert outcomes[1].error is not None
    assert outcomes[1].error.code == "invalid_input"
    assert "expects integer, not string (at $.n)" in outcomes[1].error.message
    assert [run.items.total for run in await runs_of(client, flow)] == [2]
    unchecked = await collect(client, flow, inputs, check_input=False)
    assert [outcome.output for outcome in unchecked] == [1, "x", 3, None]


async def test_progress_of_inputs_without_a_length(client: Any, tmp_path: Path) -> None:
    told: list[Any] = []
    await collect(client, NOOP, ({"n": n} for n in range(3)), progress=told.append, total=3)
    assert (told[0].total, told[-1].total, told[-1].completed) == (3, 3, 3)
    (tmp_path / "in.json").write_text('[{"n": 1}, {"n": 2}]')
    (tmp_path / "in.jsonl").write_text('{"n": 1}\n' * 4000)
    told.clear()
    with read_inputs(tmp_path / "in.json") as inputs:
        await collect(client, NOOP, inputs, progress=told.append)
    assert told[0].total == 2
    told.clear()
    with read_inputs(tmp_path / "in.jsonl") as inputs:
        async with aclosing(client.map(NOOP, inputs, progress=told.append, chunk_size=10)) as outcomes:
            async for outcome in outcomes:
                if outcome.index == 30:
                    await asyncio.sleep(0.3)
                elif len(told) > 1:
                    break
    # As many lines as the file is long: an estimate by the part that was read.
    assert told[0].total is None
    assert 10 < told[1].total < 40_000


class TestJournal:
    """Attempts and a journal."""

    async def test_attempts_are_recorded(self, client: Any, tmp_path: Path) -> None:
        marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("kept"))
        inputs = missing(marker, 30, every=4, missing="text")
        options = {
            "output_type": int,
            "max_attempts": 2,
            "retry_on": touching(marker),
            "chunk_size": 10,
            "journal": tmp_path / "j",
        }
        first = await collect(client, flow, inputs, **options)
        assert [outcome.output for outcome in first] == list(range(30))
        assert 2 in {outcome.attempts for outcome in first}
        before = len(await runs_of(client, flow))
        # Neither the rule nor the number of attempts is a setting of the batch.
        again = await collect(client, flow, inputs, journal=tmp_path / "j")
        assert again == first
        assert len(await runs_of(client, flow)) == before

    async def test_a_batch_that_ends_between_attempts_goes_on(
        self, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("between"))
        inputs = missing(marker, 20, every=7, missing="text")
        options = {"output_type": int, "max_attempts": 2, "retry_on": touching(marker), "chunk_size": 20}
        usual = client._connection.timings
        monkeypatch.setattr(client._connection, "timings", usual._replace(retry_first_pause=60.0))
        with pytest.raises(RunTimeoutError):
            await collect(client, flow, inputs, journal=tmp_path / "j", timeout=3.0, **options)
        assert len(await runs_of(client, flow)) == 1
        monkeypatch.setattr(client._connection, "timings", usual)
        # The attempt that was begun is made, also by a call that asks for none.
        outcomes = await collect(client, flow, inputs, journal=tmp_path / "j")
        assert [outcome.output for outcome in outcomes] == list(range(20))
        assert [outcome.index for outcome in outcomes if outcome.attempts == 2] == [0, 7, 14]
        assert sorted(run.items.total for run in await runs_of(client, flow)) == [3, 20]

    async def test_another_check_is_another_batch(self, client: Any, tmp_path: Path) -> None:
        await collect(client, TYPED, [{"n": 1}, {"n": "x"}], journal=tmp_path / "j")
        with pytest.raises(JournalError, match="check_input changed"):
            await collect(client, TYPED, [{"n": 1}, {"n": "x"}], journal=tmp_path / "j", check_input=False)


async def interrupt(client: StepflowClient, server: DurableServer, **options: Any) -> None:
    """Run a batch whose server is killed after the first outcome."""
    async with client.map(NOOP, ({"n": n} for n in range(50)), **options) as outcomes:
        async for _ in outcomes:
            server.kill()


@pytest.mark.parametrize("way", ["journal", "key", "none"])
async def test_an_error_that_ends_a_batch_says_how_it_continues(way: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "journal": {"chunk_size": 1, "journal": tmp_path / "the.journal"},
        "key": {"chunk_size": 1, "idempotency_key": lambda given: f"n{given['n']}"},
        "none": {"chunk_size": 1},
    }[way]
    server = DurableServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        async with StepflowClient(server.url, retry=0) as client:
            with pytest.raises(TransportError) as raised:
                await interrupt(client, server, **options)
            said = {
                "journal": f"to continue the batch, repeat the call with the journal {tmp_path / 'the.journal'}",
                "key": "to continue the batch, repeat the call: its keys find their runs",
                "none": "",
            }[way]
            assert said in str(raised.value)
            assert ("to continue the batch" in str(raised.value)) == (way != "none")
            if way != "none":
                server.start()
                server.wait_ready()
                assert len(await collect(client, NOOP, [{"n": n} for n in range(50)], **options)) == 50
    finally:
        server.kill()


KILLED = """
import sys
from stepflow_client import SyncStepflowClient
from stepflow_client._rules import timing_constants
timing_constants.DEFAULT = timing_constants.DEFAULT._replace(retry_first_pause=0.1)
url, journal, name = sys.argv[1:]
flow = {"name": name, "steps": [], "output": {"$input": "n"}}
with SyncStepflowClient(url) as client:
    inputs = ({"m" if number % 10 == 3 else "n": number} for number in range(400))
    options = {"max_attempts": 3, "retry_on": {"expression_failed"}, "chunk_size": 20}
    for outcome in client.map(flow, inputs, journal=journal, **options):
        print(outcome.index, outcome.status, outcome.attempts, flush=True)
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(12, marks=pytest.mark.faults)])
def test_a_killed_batch_goes_on_with_its_attempts(worker_runtime: Any, tmp_path: Path, rounds: int) -> None:
    journal, name = tmp_path / "batch.journal", unique("killed")
    command = [sys.executable, "-c", KILLED, worker_runtime.url, str(journal), name]
    for turn in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Between attempts, while one is created, and each time further.
            if turn:
                for _ in range(turn * 400 // (rounds + 1)):
                    assert process.stdout.readline(), "the batch has ended too early"
            else:
                while not journal.exists():
                    assert process.poll() is None, "the batch has failed"
                    time.sleep(0.01)
            time.sleep(0.013 * (turn % 12))
            os.kill(process.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = sorted(
        (int(index), status, int(attempts)) for index, status, attempts in map(str.split, done.stdout.splitlines())
    )
    assert found == [(n, "failed", 3) if n % 10 == 3 else (n, "completed", 1) for n in range(400)]
    with SyncStepflowClient(worker_runtime.url) as client:
        runs = client.list_runs(flow_name=name).runs
    # Each attempt of each chunk has had one run: no input was executed once more than it should.
    assert sorted(run.items.total for run in runs) == [2] * 40 + [20] * 20


class TestKeys:
    """Inputs with a key each."""

    async def test_each_input_has_the_run_of_its_key(self, client: Any) -> None:
        flow, prefix = {**NOOP, "name": unique("keyed")}, unique("doc")

        def key(value: Any) -> str | None:
            return f"{prefix}-{value['n']}" if value["n"] % 5 else None

        inputs = [{"n": n} for n in range(12)]
        single = await client.run(flow, {"n": 3}, idempotency_key=f"{prefix}-3")
        first = await collect(client, flow, inputs, idempotency_key=key)
        assert [outcome.output for outcome in first] == list(range(12))
        assert first[3].run_id == single.run_id
        found = await client.find_run(flow, idempotency_key=f"{prefix}-7")
        assert found is not None
        assert found.run_id == first[7].run_id
        again = await collect(client, flow, inputs, idempotency_key=key)
        same = [one.run_id == other.run_id for one, other in zip(first, again, strict=True)]
        # Inputs without a key run each time.
        assert same == [n % 5 != 0 for n in range(12)]
        assert len(await runs_of(client, flow)) == 12 + 3

    async def test_an_input_that_is_a_list_or_twice_there(self, client: Any) -> None:
        echo, prefix = {"steps": [], "output": {"$input": "$"}, "name": unique("listed")}, unique("doc")
        inputs = [[1, 2], {"n": 1}, [1, 2], [1, 3]]
        outcomes = await collect(
            client, echo, inputs, idempotency_key=lambda value: prefix + str(type(value).__name__), max_concurrency=1
        )
        assert [outcome.output for outcome in outcomes] == [[1, 2], {"n": 1}, [1, 2], None]
        assert outcomes[0].run_id == outcomes[2].run_id
        assert outcomes[3].error is not None
        assert (outcomes[3].run_id, outcomes[3].error.code, outcomes[3].attempts) == (None, "invalid_input", 0)
        assert "with different input" in outcomes[3].error.message

    async def test_the_function_gets_the_input_as_it_was_given(self, client: Any) -> None:
        prefix, given = unique("doc"), list[Any]()
        inputs = [Doubled(n=1), {"n": {1, 2}}, ValueError("unreadable"), {"n": 4}]

        def key(value: Any) -> str:
            given.append(value)
            return f"{prefix}-{len(given)}"

        outcomes = await collect(client, NOOP, inputs, idempotency_key=key)
        assert [outcome.output for outcome in outcomes] == [1, None, None, 4]
        assert given == [Doubled(n=1), {"n": 4}]

    @pytest.mark.parametrize("wrong", ["", 5])
    async def test_outcomes_before_a_wrong_key_come_first(self, client: Any, wrong: Any) -> None:
        prefix, seen = unique("doc"), list[Any]()

        async def take() -> None:
            keys: Iterator[Any] = iter([f"{prefix}-0", f"{prefix}-1", wrong])
            async for outcome in client.map(NOOP, [{"n": n} for n in range(9)], idempotency_key=lambda _: next(keys)):
                seen.append(outcome)

        with pytest.raises(InvalidArgumentError, match="idempotency_key"):
            await take()
        assert sorted(outcome.output for outcome in seen) == [0, 1]


KEYED = """
import sys
from stepflow_client import SyncStepflowClient
url, name = sys.argv[1:]
flow = {"name": name, "steps": [], "output": {"$input": "n"}}
with SyncStepflowClient(url) as client:
    inputs = ({"n": number} for number in range(60))
    for outcome in client.map(flow, inputs, idempotency_key=lambda value: f"{name}-{value['n']}", max_concurrency=4):
        print(outcome.index, outcome.output, flush=True)
"""


def test_a_killed_batch_with_keys_goes_on(worker_runtime: Any) -> None:
    name = unique("keyed")
    command = [sys.executable, "-c", KEYED, worker_runtime.url, name]
    for turn in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(1 + 20 * turn):
                assert process.stdout.readline(), "the batch has ended too early"
            os.kill(process.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(tuple(map(int, line.split())) for line in done.stdout.splitlines()) == [(n, n) for n in range(60)]
    with SyncStepflowClient(worker_runtime.url) as client:
        assert len(client.list_runs(flow_name=name, limit=100).runs) == 60
