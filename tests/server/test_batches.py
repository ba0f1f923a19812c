"""`map` returns exactly one outcome for every input, in bounded memory, across faults and crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    InvalidArgumentError,
    JournalError,
    Outcome,
    RunFailedError,
    StepflowClient,
    SyncStepflowClient,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.flows import ECHO, FAIL, SLEEP, one_step

pytestmark = [pytest.mark.anyio]

NOOP: dict[str, Any] = {"steps": [], "output": {"$input": "n"}}
ECHOED = one_step(ECHO)


async def collect(client: Any, flow: Any, inputs: Any, **options: Any) -> list[Outcome]:
    async with aclosing(client.map(flow, inputs, **options)) as outcomes:
        return [outcome async for outcome in outcomes]


def numbers(count: int) -> Iterator[dict[str, int]]:
    return ({"n": number} for number in range(count))


def check_all(outcomes: list[Outcome], count: int) -> None:
    """Check that every input has exactly one outcome, with its own output."""
    assert sorted(outcome.index for outcome in outcomes) == list(range(count))
    assert all(outcome.is_success and outcome.output == outcome.index for outcome in outcomes)


async def test_every_input_has_one_outcome(client: Any) -> None:
    outcomes = await collect(client, NOOP, numbers(1000))
    check_all(outcomes, 1000)
    assert len({outcome.run_id for outcome in outcomes}) < 100


async def test_large_inputs_make_small_chunks(client: Any) -> None:
    large = [{"n": number, "pad": "x" * 300_000} for number in range(20)]
    outcomes = await collect(client, NOOP, [{"n": -1}, *large, {"n": {1, 2}}, *large], chunk_size=41, ordered=True)
    assert [outcome.index for outcome in outcomes] == list(range(42))
    assert [outcome.output for outcome in outcomes[1:21]] == list(range(20))
    assert not outcomes[21].is_success
    sizes = Counter(outcome.run_id for outcome in outcomes if outcome.run_id)
    # Requests contain at most 8 MiB of inputs (2 MiB before 0.12). The first input is small.
    assert max(sizes.values()) <= (8 << 20) // 300_000 + 1
    assert all(outcome.duration is not None for outcome in outcomes if outcome.run_id)


async def test_concurrent_chunks_share_flows(client: Any) -> None:
    name = f"shared-{time.time_ns()}"
    check_all(await collect(client, {**NOOP, "name": name}, numbers(300), chunk_size=10), 300)
    runs = (await client.list_runs(flow_name=name)).runs
    assert len(runs) == 30
    assert len({run.flow_id for run in runs}) <= 4


async def test_ordered_outcomes(client: Any) -> None:
    slow_first = [{"seconds": 0.5 if number == 0 else 0.0, "value": number} for number in range(40)]
    outcomes = await collect(client, one_step(SLEEP), slow_first, chunk_size=4, ordered=True)
    assert [outcome.output for outcome in outcomes] == list(range(40))


async def test_no_inputs_return_no_outcomes(client: Any) -> None:
    assert await collect(client, NOOP, []) == []


async def test_an_input_may_be_a_list_and_carries_its_key(client: Any) -> None:
    echo = {"steps": [], "output": {"$input": "$"}}
    outcomes = await collect(client, echo, [[1, 2], {"id": "a"}, {"key": 7}, None], ordered=True)
    assert [outcome.output for outcome in outcomes] == [[1, 2], {"id": "a"}, {"key": 7}, None]
    assert [outcome.key for outcome in outcomes] == [None, "a", 7, None]


async def test_failed_items_are_outcomes_or_raise(client: Any) -> None:
    inputs = [{"n": 1}, {"n": {1, 2}}, {"n": 3}]
    outcomes = await collect(client, NOOP, inputs, ordered=True)
    assert [outcome.is_success for outcome in outcomes] == [True, False, True]
    assert outcomes[1].error is not None
    assert outcomes[1].error.code == "invalid_input"
    assert outcomes[1].run_id is None
    unread = await collect(client, NOOP, [ValueError("line 3 is no JSON")])
    assert unread[0].error is not None
    assert unread[0].error.message == "line 3 is no JSON"
    failed = await collect(client, one_step(FAIL, {"message": "no"}), [{}])
    assert failed[0].to_dict()["error"]["step_id"] == "only"
    with pytest.raises(RunFailedError, match="input 0 failed"):
        await collect(client, one_step(FAIL, {"message": "no"}), [{}], on_error="raise")


async def test_endless_inputs_are_read_lazily(client: Any) -> None:
    read = 0

    def endless() -> Iterator[Any]:
        nonlocal read
        while True:
            read += 1
            yield {"n": read - 1}

    taken = 0
    async with aclosing(client.map(NOOP, endless(), chunk_size=10)) as outcomes:
        async for _ in outcomes:
            taken += 1
            # Four chunks are in flight, and one is being returned.
            assert read - taken <= 50
            if taken == 100:
                break
    assert read <= 150


async def test_outcomes_of_read_inputs_precede_an_exception_of_the_iterator(client: Any) -> None:
    def broken() -> Iterator[Any]:
        yield from numbers(25)
        raise LookupError("the table is gone")

    outcomes: list[Outcome] = []

    async def take() -> None:
        async for outcome in client.map(NOOP, broken(), chunk_size=10):
            outcomes.append(outcome)

    with pytest.raises(LookupError, match="the table is gone"):
        await take()
    check_all(outcomes, 25)


async def test_async_inputs(worker_runtime: Any) -> None:
    async def inputs() -> AsyncIterator[Any]:
        for each in numbers(30):
            await asyncio.sleep(0)
            yield each

    async with StepflowClient(worker_runtime.url) as client:
        check_all(await collect(client, NOOP, inputs(), chunk_size=7), 30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 5}, "inputs must be an iterable"),
        ({"inputs": {"n": 1}}, "inputs must be an iterable"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"on_error": "ignore"}, "on_error"),
        ({"on_cancel": "stop"}, "on_cancel"),
        ({"flow": "0" * 64}, "needs the flow itself"),
    ],
)
async def test_wrong_arguments_are_refused(client: Any, options: dict[str, Any], message: str) -> None:
    arguments = {"flow": NOOP, "inputs": [], **options}
    with pytest.raises(InvalidArgumentError, match=message):
        await collect(client, arguments.pop("flow"), arguments.pop("inputs"), **arguments)


async def test_cut_connections_neither_lose_nor_repeat_inputs(worker_runtime: Any) -> None:
    connections = 0

    def script(_: int) -> Script:
        nonlocal connections
        connections += 1
        return Script(cut_answer=0, within=b"POST /api/v1/runs") if connections % 3 == 0 else Script()

    name = f"cut-{time.time_ns()}"
    with FaultProxy(worker_runtime.url, script) as proxy:
        async with StepflowClient(proxy.url) as client:
            check_all(await collect(client, {**NOOP, "name": name}, numbers(200), chunk_size=5), 200)
    assert connections > 3
    async with StepflowClient(worker_runtime.url) as client:
        assert len((await client.list_runs(flow_name=name)).runs) == 40


class TestJournal:
    """Batches that resume after a crash."""

    async def test_a_finished_batch_is_read_from_the_journal(self, client: Any, tmp_path: Path) -> None:
        journal = tmp_path / "batch.journal"
        name = f"kept-{time.time_ns()}"
        flow = {**NOOP, "name": name}
        first = await collect(client, flow, numbers(50), chunk_size=10, journal=journal, ordered=True)
        again = await collect(client, flow, numbers(50), journal=journal, ordered=True)
        check_all(again, 50)
        assert first == again
        assert len((await client.list_runs(flow_name=name)).runs) == 5
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600

    async def test_an_interrupted_batch_resumes(self, client: Any, tmp_path: Path) -> None:
        journal = tmp_path / "batch.journal"
        name = f"resumed-{time.time_ns()}"
        flow = {**NOOP, "name": name}
        async with aclosing(client.map(flow, numbers(100), chunk_size=10, journal=journal)) as outcomes:
            async for _ in outcomes:
                break
        check_all(await collect(client, flow, numbers(100), chunk_size=10, journal=journal), 100)
        assert len((await client.list_runs(flow_name=name)).runs) == 10

    async def test_a_changed_batch_is_refused(self, client: Any, tmp_path: Path) -> None:
        journal = tmp_path / "batch.journal"
        await collect(client, NOOP, numbers(10), journal=journal)
        with pytest.raises(JournalError, match="flow changed"):
            await collect(client, ECHOED, numbers(10), journal=journal)
        with pytest.raises(JournalError, match="variables changed"):
            await collect(client, NOOP, numbers(10), variables={"x": 1}, journal=journal)

    async def test_changed_inputs_are_refused(self, client: Any, tmp_path: Path) -> None:
        journal = tmp_path / "batch.journal"
        await collect(client, NOOP, numbers(10), journal=journal)
        with pytest.raises(JournalError, match="inputs 0 to 9 do not match the journal"):
            await collect(client, NOOP, ({"n": -number} for number in range(10)), journal=journal)

    async def test_a_second_batch_on_one_journal_is_refused(self, client: Any, tmp_path: Path) -> None:
        journal = tmp_path / "batch.journal"
        async with aclosing(client.map(NOOP, numbers(100), chunk_size=5, journal=journal)) as outcomes:
            async for _ in outcomes:
                with pytest.raises(JournalError, match="in use by another batch"):
                    await collect(client, NOOP, numbers(10), journal=journal)
                break

    async def test_other_files_and_folders_are_refused(self, client: Any, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no database, but longer than a header of one\n" * 50)
        with pytest.raises(JournalError, match="is not a usable journal"):
            await collect(client, NOOP, [], journal=tmp_path / "notes.txt")
        with pytest.raises(JournalError, match="cannot be opened"):
            await collect(client, NOOP, [], journal=tmp_path)


KILLED = """
import sys
from stepflow_client import SyncStepflowClient
url, journal, name = sys.argv[1:]
flow = {"name": name, "steps": [], "output": {"$input": "n"}}
with SyncStepflowClient(url) as client:
    inputs = ({"n": number} for number in range(2000))
    for outcome in client.map(flow, inputs, chunk_size=20, journal=journal):
        print(outcome.index, flush=True)
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(10, marks=pytest.mark.faults)])
def test_a_killed_batch_resumes(worker_runtime: Any, tmp_path: Path, rounds: int) -> None:
    journal, name = tmp_path / "batch.journal", f"killed-{time.time_ns()}"
    command = [sys.executable, "-c", KILLED, worker_runtime.url, str(journal), name]
    for turn in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Kill it later each time, in the middle of several chunks.
            for _ in range(1 + turn * 2000 // (rounds + 1)):
                assert process.stdout.readline(), "the batch has ended too early"
            os.kill(process.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(map(int, done.stdout.split())) == list(range(2000))
    with SyncStepflowClient(worker_runtime.url) as client:
        # Each chunk had one run, so no input was executed twice.
        runs = client.list_runs(flow_name=name).runs
    assert len(runs) == 100
    assert sum(run.items.total for run in runs) == 2000
