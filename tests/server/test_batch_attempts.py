"""`map` with retries, output types, input checks and idempotency keys, with and without a journal."""

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
def _short_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, retry_first_pause=0.02)


async def collect(client: Any, flow: Any, inputs: Any, **options: Any) -> list[Outcome[Any]]:
    async with aclosing(client.map(flow, inputs, **options)) as outcomes:
        return sorted([outcome async for outcome in outcomes], key=lambda outcome: outcome.index)


async def runs_of(client: Any, flow: dict[str, Any]) -> list[Any]:
    return list((await client.list_runs(flow_name=flow["name"])).runs)


def missing_inputs(marker: Path, count: int, every: int, **more: Any) -> list[dict[str, Any]]:
    """Return inputs of `PRESENT`; every n-th one fails until the marker exists."""
    return [{"value": n, "file": str(marker if n % every == 0 else Path(__file__)), **more} for n in range(count)]


def create_marker(marker: Path) -> Callable[[Outcome[Any]], bool]:
    """Return a retry rule that creates the marker, so that retries succeed."""

    def retry_on(outcome: Outcome[Any]) -> bool:
        assert not outcome.is_success
        marker.touch()
        return True

    return retry_on


@pytest.mark.parametrize("ordered", [False, True])
async def test_only_failed_inputs_are_retried(client: Any, tmp_path: Path, ordered: bool) -> None:
    marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("again"))
    inputs, updates = missing_inputs(marker, 40, every=7), list[Any]()
    options = {"max_attempts": 3, "retry_on": create_marker(marker), "chunk_size": 10, "progress": updates.append}
    outcomes = await collect(client, flow, inputs, max_concurrency=1, ordered=ordered, **options)
    assert [outcome.output for outcome in outcomes] == list(range(40))
    # The first failure creates the marker, so only the first chunk has inputs to retry.
    assert [outcome.index for outcome in outcomes if outcome.attempts == 2] == [0, 7]
    assert {outcome.attempts for outcome in outcomes} == {1, 2}
    runs = await runs_of(client, flow)
    assert sorted(run.items.total for run in runs) == [2, 10, 10, 10, 10]
    assert (updates[-1].completed, updates[-1].failed, updates[-1].status) == (40, 0, "completed")


async def test_an_input_that_never_succeeds_returns_its_last_outcome(client: Any) -> None:
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


async def test_only_retryable_or_selected_errors_are_retried(client: Any) -> None:
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
    # An explicit selection excludes retryable errors that it does not name.
    assert [each.attempts for each in await collect(client, UNROUTED, [1], max_attempts=2, retry_on={"lost"})] == [1]
    again = client.with_options(max_attempts=2)
    assert [each.attempts for each in await collect(again, UNROUTED, [1])] == [2]


async def async_rule(outcome: Any) -> bool:
    raise AssertionError("must not be awaited")


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


async def test_an_exception_in_the_retry_rule_ends_the_batch(client: Any) -> None:
    def rule(outcome: Outcome[Any]) -> bool:
        raise LookupError("from the rule")

    with pytest.raises(LookupError, match="from the rule"):
        await collect(client, UNROUTED, [1], max_attempts=2, retry_on=rule)


async def test_no_retry_starts_after_the_batch_has_ended(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = {**UNROUTED, "name": unique("ended")}
    monkeypatch.setattr(client._connection, "timings", client._connection.timings._replace(retry_first_pause=2.0))
    with pytest.raises(RunTimeoutError):
        await collect(client, flow, [1], max_attempts=5, timeout=0.7)
    await asyncio.sleep(2.0)
    assert len(await runs_of(client, flow)) == 1


async def test_the_run_of_the_current_attempt_is_cancelled(client: Any, tmp_path: Path) -> None:
    # Without its file, the component returns immediately, with an output of the wrong type.
    marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("cancelled"))
    options = {"output_type": int, "max_attempts": 2, "retry_on": create_marker(marker)}
    slow = {"file": str(marker), "missing": "text", "seconds": 9, "value": 1}
    with pytest.raises(RunTimeoutError, match="its runs were cancelled"):
        await collect(client, flow, [slow], on_cancel="cancel", timeout=4.0, **options)
    runs = sorted(await runs_of(client, flow), key=lambda run: run.run_id)
    assert [run.status.value for run in runs] == ["completed", "cancelled"]


class Output(BaseModel):
    n: int


async def test_outputs_are_validated_against_output_type(client: Any, tmp_path: Path) -> None:
    echo = {"steps": [], "output": {"$input": "$"}}
    inputs = [{"n": 1}, {"m": 2}, {"n": "three"}]
    outcomes = await collect(client, echo, inputs, output_type=Output)
    assert [outcome.output for outcome in outcomes] == [Output(n=1), None, None]
    assert [outcome.is_failed for outcome in outcomes] == [False, True, True]
    error = outcomes[1].error
    assert error is not None
    assert (error.code, error.is_retryable) == (ErrorCode.INVALID_OUTPUT, False)
    assert outcomes[0].to_dict()["output"] == {"n": 1}
    with pytest.raises(OutputTypeError, match=r"input 1: the output of run .* does not fit Output: \$\.n") as refused:
        outcomes[1].unwrap()
    assert (refused.value.details, refused.value.run_id) == (error.details, outcomes[1].run_id)
    with pytest.raises(OutputTypeError, match="input 1"):
        await collect(client, echo, inputs, output_type=Output, on_error="raise", ordered=True)
    again = await collect(client, echo, inputs, output_type=Output, max_attempts=2, retry_on={"invalid_output"})
    assert [outcome.attempts for outcome in again] == [1, 2, 2]


async def test_the_journal_stores_raw_outputs(client: Any, tmp_path: Path) -> None:
    echo, inputs = {"steps": [], "output": {"$input": "$"}}, [{"n": 1}, {"m": 2}]
    first = await collect(client, echo, inputs, output_type=Output, journal=tmp_path / "j")
    assert [outcome.is_success for outcome in first] == [True, False]
    untyped = await collect(client, echo, inputs, journal=tmp_path / "j")
    assert [outcome.output for outcome in untyped] == inputs


async def test_inputs_that_violate_the_schema_are_not_sent(client: Any) -> None:
    flow = {**TYPED, "name": unique("checked")}
    inputs = [{"n": 1}, {"n": "x"}, Output(n=3), {"n": None}]
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
    updates: list[Any] = []
    await collect(client, NOOP, ({"n": n} for n in range(3)), progress=updates.append, total=3)
    assert (updates[0].total, updates[-1].total, updates[-1].completed) == (3, 3, 3)
    (tmp_path / "in.json").write_text('[{"n": 1}, {"n": 2}]')
    (tmp_path / "in.jsonl").write_text('{"n": 1}\n' * 4000)
    updates.clear()
    with read_inputs(tmp_path / "in.json") as inputs:
        await collect(client, NOOP, inputs, progress=updates.append)
    assert updates[0].total == 2
    updates.clear()
    with read_inputs(tmp_path / "in.jsonl") as inputs:
        async with aclosing(client.map(NOOP, inputs, progress=updates.append, chunk_size=10)) as outcomes:
            async for outcome in outcomes:
                if outcome.index == 30:
                    await asyncio.sleep(0.3)
                elif len(updates) > 1:
                    break
    # The total is estimated from the file's size and the part read so far.
    assert updates[0].total is None
    assert 10 < updates[1].total < 40_000


class TestJournal:
    """Retries of a batch with a journal."""

    async def test_attempts_are_recorded(self, client: Any, tmp_path: Path) -> None:
        marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("kept"))
        inputs = missing_inputs(marker, 30, every=4, missing="text")
        options = {
            "output_type": int,
            "max_attempts": 2,
            "retry_on": create_marker(marker),
            "chunk_size": 10,
            "journal": tmp_path / "j",
        }
        first = await collect(client, flow, inputs, **options)
        assert [outcome.output for outcome in first] == list(range(30))
        assert 2 in {outcome.attempts for outcome in first}
        before = len(await runs_of(client, flow))
        # The retry rule and the number of attempts may differ between calls of one batch.
        again = await collect(client, flow, inputs, journal=tmp_path / "j")
        assert again == first
        assert len(await runs_of(client, flow)) == before

    async def test_a_batch_that_ends_between_attempts_resumes(
        self, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marker, flow = tmp_path / "marker", one_step(PRESENT, name=unique("between"))
        inputs = missing_inputs(marker, 20, every=7, missing="text")
        options = {"output_type": int, "max_attempts": 2, "retry_on": create_marker(marker), "chunk_size": 20}
        default = client._connection.timings
        monkeypatch.setattr(client._connection, "timings", default._replace(retry_first_pause=60.0))
        with pytest.raises(RunTimeoutError):
            await collect(client, flow, inputs, journal=tmp_path / "j", timeout=3.0, **options)
        assert len(await runs_of(client, flow)) == 1
        monkeypatch.setattr(client._connection, "timings", default)
        # The call finishes the attempt that had begun, although it requests no retries.
        outcomes = await collect(client, flow, inputs, journal=tmp_path / "j")
        assert [outcome.output for outcome in outcomes] == list(range(20))
        assert [outcome.index for outcome in outcomes if outcome.attempts == 2] == [0, 7, 14]
        assert sorted(run.items.total for run in await runs_of(client, flow)) == [3, 20]

    async def test_a_changed_input_check_is_another_batch(self, client: Any, tmp_path: Path) -> None:
        await collect(client, TYPED, [{"n": 1}, {"n": "x"}], journal=tmp_path / "j")
        with pytest.raises(JournalError, match="check_input changed"):
            await collect(client, TYPED, [{"n": 1}, {"n": "x"}], journal=tmp_path / "j", check_input=False)


async def interrupt(client: StepflowClient, server: DurableServer, **options: Any) -> None:
    """Run a batch whose server is killed after the first outcome."""
    async with client.map(NOOP, ({"n": n} for n in range(50)), **options) as outcomes:
        async for _ in outcomes:
            server.kill()


@pytest.mark.parametrize("resume_by", ["journal", "key", "none"])
async def test_an_error_that_ends_a_batch_tells_how_to_resume_it(resume_by: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "journal": {"chunk_size": 1, "journal": tmp_path / "the.journal"},
        "key": {"chunk_size": 1, "idempotency_key": lambda value: f"n{value['n']}"},
        "none": {"chunk_size": 1},
    }[resume_by]
    server = DurableServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        async with StepflowClient(server.url, retry=0) as client:
            with pytest.raises(TransportError) as raised:
                await interrupt(client, server, **options)
            hint = {
                "journal": f"to continue the batch, repeat the call with the journal {tmp_path / 'the.journal'}",
                "key": "to continue the batch, repeat the call: its keys find their runs",
                "none": "",
            }[resume_by]
            assert hint in str(raised.value)
            assert ("to continue the batch" in str(raised.value)) == (resume_by != "none")
            if resume_by != "none":
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
def test_a_killed_batch_resumes_its_attempts(worker_runtime: Any, tmp_path: Path, rounds: int) -> None:
    journal, name = tmp_path / "batch.journal", unique("killed")
    command = [sys.executable, "-c", KILLED, worker_runtime.url, str(journal), name]
    for turn in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Kill it between attempts, while it creates a retry, and later each time.
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
    outcomes = sorted(
        (int(index), status, int(attempts)) for index, status, attempts in map(str.split, done.stdout.splitlines())
    )
    assert outcomes == [(n, "failed", 3) if n % 10 == 3 else (n, "completed", 1) for n in range(400)]
    with SyncStepflowClient(worker_runtime.url) as client:
        runs = client.list_runs(flow_name=name).runs
    # Each attempt of each chunk had one run, so no input was executed more often than necessary.
    assert sorted(run.items.total for run in runs) == [2] * 40 + [20] * 20


class TestKeys:
    """Batches with an idempotency key for each input."""

    async def test_each_input_returns_the_run_of_its_key(self, client: Any) -> None:
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

    async def test_list_inputs_and_repeated_keys(self, client: Any) -> None:
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

    async def test_the_key_function_gets_the_original_input(self, client: Any) -> None:
        prefix, received = unique("doc"), list[Any]()
        inputs = [Output(n=1), {"n": {1, 2}}, ValueError("unreadable"), {"n": 4}]

        def key(value: Any) -> str:
            received.append(value)
            return f"{prefix}-{len(received)}"

        outcomes = await collect(client, NOOP, inputs, idempotency_key=key)
        assert [outcome.output for outcome in outcomes] == [1, None, None, 4]
        assert received == [Output(n=1), {"n": 4}]

    @pytest.mark.parametrize("wrong", ["", 5])
    async def test_outcomes_before_an_invalid_key_are_returned_first(self, client: Any, wrong: Any) -> None:
        prefix, outcomes = unique("doc"), list[Any]()

        async def take() -> None:
            keys: Iterator[Any] = iter([f"{prefix}-0", f"{prefix}-1", wrong])
            async for outcome in client.map(NOOP, [{"n": n} for n in range(9)], idempotency_key=lambda _: next(keys)):
                outcomes.append(outcome)

        with pytest.raises(InvalidArgumentError, match="idempotency_key"):
            await take()
        assert sorted(outcome.output for outcome in outcomes) == [0, 1]


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


def test_a_killed_batch_with_keys_resumes(worker_runtime: Any) -> None:
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
