"""Clients in forks, processes, event loops and threads get their own results while connections fail."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter

import pytest
from stepflow_client import (
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests import lost_answers
from tests.fault_proxy import FaultProxy, Script
from tests.server.faults.proxied import (
    CREATE,
    flow,
)
from tests.server.flows import unique

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


FORKED = """
import json, os, sys
from stepflow_client import SyncStepflowClient

client = SyncStepflowClient(sys.argv[1], server_release=sys.argv[2])
ids = sys.argv[3:5]
client.get_run(ids[0])
child = os.fork()
own = ids[1] if child else ids[0]
wrong = sum(client.get_run(own).run_id != own for _ in range(50))
client.close()
if not child:
    os._exit(wrong != 0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
"""


async def test_a_fork_and_its_parent_get_their_own_responses(server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        ids = [await direct.submit(flow(unique("fork")), {"n": number}) for number in range(2)]
    command = [sys.executable, "-c", FORKED, server_url, release, *ids]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


TAGGED = """
import os, sys
from stepflow_client import SyncStepflowClient

flow = {"name": sys.argv[3], "steps": [], "output": {"$input": "$"}}
client = SyncStepflowClient(sys.argv[1], server_release=sys.argv[2])
client.submit(flow, {"who": "before"})
child = os.fork()
wrong = sum(client.run(flow, {"who": child}).output != {"who": child} for _ in range(20))
client.close()
if not child:
    os._exit(wrong != 0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
"""


async def test_a_fork_runs_flows_under_its_own_tag(server_url: str, release: str) -> None:
    name = unique("fork")
    chance = random.Random(7)

    def script(number: int) -> Script:
        return Script(within=CREATE, after=chance.randrange(3), cut_answer=0)

    with FaultProxy(server_url, script) as proxy:
        command = [sys.executable, "-c", TAGGED, proxy.url, release, name]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert proxy.faults > 10
    async with StepflowClient(server_url, server_release=release) as direct:
        runs = (await direct.list_runs(flow_name=name)).runs
    assert len(runs) == 41
    assert sorted(Counter(run.flow_id for run in runs).values()) == [20, 21]


@pytest.mark.parametrize("processes", [2, 3])
async def test_processes_that_run_one_flow_get_their_own_results(processes: int, server_url: str) -> None:
    report = await asyncio.to_thread(lost_answers.measure, server_url, unique("same"), processes=processes, calls=100)
    assert (report.wrong, report.errors) == ([], [])
    assert report.runs == report.calls
    assert report.cuts > report.calls / 10
    # After a cut, the client searches for the run and then repeats the request or reads the run. Other calls need one.
    assert report.creations <= report.calls + report.cuts
    assert report.requests <= report.calls + 5 * report.cuts + 4 * processes


LOOPS = """
import asyncio, gc, sys, httpx
from stepflow_client import StepflowClient

client = StepflowClient(sys.argv[1], server_release=sys.argv[2], limits=httpx.Limits(max_connections=2))

async def calls():
    await asyncio.gather(*(client.list_runs(limit=1) for _ in range(6)))

for _ in range(3):
    asyncio.run(calls())
asyncio.run(client.aclose())
del client
gc.collect()
"""


async def test_a_client_works_in_one_event_loop_after_another(server_url: str, release: str) -> None:
    command = [sys.executable, "-c", LOOPS, server_url, release]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


async def test_closing_a_blocking_client_ends_the_calls_of_other_threads(server_url: str, release: str) -> None:
    with FaultProxy(server_url, lambda number: Script(within=b"GET /api/v1/runs", cut_answer=0, stall=True)) as proxy:
        client = SyncStepflowClient(proxy.url, server_release=release)
        calls = [asyncio.ensure_future(asyncio.to_thread(client.list_runs)) for _ in range(3)]
        while proxy.faults < 3:  # noqa: ASYNC110 - the proxy has no event to wait for
            await asyncio.sleep(0.01)
        client.close()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert all(isinstance(each, StepflowClientError) for each in ended)


FIRST_CALLS = """
import sys, threading
from stepflow_client import SyncStepflowClient

barrier, failures = threading.Barrier(8), []

def work(number):
    barrier.wait()
    try:
        with SyncStepflowClient(sys.argv[1]) as client:
            run_id = client.submit({"name": sys.argv[2], "steps": [], "output": {"$input": "$"}}, {"n": number})
            assert client.get_result(run_id).output == {"n": number}
            assert client.get_run(run_id).run_id == run_id
            assert [event.type for event in client.run_events(run_id)][-1] == "run_completed"
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
sys.exit("\\n".join(failures) or 0)
"""


async def test_threads_can_make_their_first_calls_simultaneously(server_url: str) -> None:
    # In a new process, in which nothing is imported yet.
    for _ in range(3):
        command = [sys.executable, "-W", "error", "-c", FIRST_CALLS, server_url, unique("first")]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
