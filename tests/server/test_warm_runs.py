"""Repeated runs of a flow take few calls, yet make every check that the first run makes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    AmbiguousRunError,
    InvalidArgumentError,
    RequestTimeoutError,
    RunTimeoutError,
    StepflowClient,
    StepflowRuntime,
)
from stepflow_client.history import History

from tests.differences import has
from tests.server.conftest import open_client
from tests.server.flows import SLEEP, one_step

MAX_CALLS, MAX_FILES = 55, 18
FLOW: dict[str, Any] = {"steps": [], "output": {"$input": "$"}}
INPUT = {"name": "World", "n": 1}
SECRET = {
    "variables": {"properties": {"token": {"type": "string", "is_secret": True, "default": "hush-hush-hush"}}},
    "steps": [{"id": "only", "component": "/builtin/nothing", "input": {"a": {"$variable": "token"}}}],
    "output": {"$step": "only"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_text("steps: []\noutput: {$input: $}\n")
    return path


# In a separate process, because other tests import OpenTelemetry, whose spans add calls.
COUNT = """
import asyncio, inspect, json, statistics, sys
from pathlib import Path
import stepflow_api, stepflow_client
from stepflow_client import StepflowClient, SyncStepflowClient

ours = tuple(str(Path(package.__file__).parent) for package in (stepflow_client, stepflow_api))
kind, url, flow, input = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
calls, files = 0, set()

def profile(frame, event, argument):
    # Resuming a coroutine counts as a call; the HTTP parser's callbacks, one per header, do not count.
    global calls
    if event == "call" and frame.f_code.co_filename.startswith(ours) and not frame.f_code.co_name.startswith("on_"):
        calls += 1
        files.add(frame.f_code.co_filename)

async def main():
    global calls
    client = StepflowClient(url) if kind == "async" else SyncStepflowClient(url)
    counts = []
    for _ in range(25):
        calls = 0
        files.clear()
        sys.setprofile(profile)
        running = client.run(flow, input)
        result = await running if inspect.isawaitable(running) else running
        sys.setprofile(None)
        counts.append(calls)
        assert result.output == input
    closing = client.aclose() if kind == "async" else client.close()
    if inspect.isawaitable(closing):
        await closing
    print(statistics.median(counts), len(files))

asyncio.run(main())
"""


def count_calls(kind: str, url: str, flow: Any) -> tuple[float, int]:
    """Return the number of calls of the package's functions in a warm run, and the number of files that define them."""
    command = [sys.executable, "-c", COUNT, kind, url, json.dumps(flow), json.dumps(INPUT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    calls, files = done.stdout.split()
    return float(calls), int(files)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("is_file", [True, False], ids=["a file", "a mapping"])
def test_a_warm_run_takes_few_calls(kind: str, is_file: bool, file: Path, server_url: str, release: str) -> None:
    # Runs on older servers need more calls, for translation.
    max_calls, max_files = (MAX_CALLS, MAX_FILES) if has(release, "events") else (1_000, 100)
    calls, files = count_calls(kind, server_url, str(file) if is_file else FLOW)
    assert 20 < calls <= max_calls
    assert 5 < files <= max_files


def test_a_run_imports_only_what_it_needs(server_url: str) -> None:
    code = f"""
import sys
from stepflow_client import SyncStepflowClient
heavy = ("pydantic", "attrs", "httpx", "yaml", "asyncio", "ssl", "email", "subprocess", "pickle", "rich")
with SyncStepflowClient({server_url!r}) as client:
    print([name for name in heavy if name in sys.modules])
    result = client.run({FLOW!r}, {INPUT!r})
    client.get_run(result.run_id)
    print([name for name in ("pydantic", "httpx", "yaml", "asyncio", "rich") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


async def test_the_registry_of_runs_is_bounded(server_url: str) -> None:
    async with StepflowClient(server_url) as client:
        registry = client._services.flows.registries.of_current_process
        await client.run(FLOW, INPUT)
        for number in range(60_000):
            registry.claim_run("f", str(number))
        assert (await client.run(FLOW, INPUT)).output == INPUT
        assert len(registry._own_run_ids) == 50_000


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_file_that_changes_is_another_flow(kind: str, file: Path, server_url: str) -> None:
    async with open_client(kind, server_url) as client:
        for _ in range(2):
            assert (await client.run(file, INPUT)).output == INPUT
        await asyncio.to_thread(file.write_text, "steps: []\noutput: {$literal: changed}\n")
        for _ in range(2):
            assert (await client.run(file, INPUT)).output == "changed"


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_mapping_that_changes_is_another_flow(kind: str, server_url: str) -> None:
    flow = {"steps": [], "output": {"$literal": {"n": 1}}}
    async with open_client(kind, server_url) as client:
        for number in range(3):
            flow["output"]["$literal"]["n"] = number  # type: ignore[index]
            assert (await client.run(flow)).output == {"n": number}


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input": [1, 2]}, "a batch of 2"),
        ({"input": {"n": float("nan")}}, "not a number that JSON can represent"),
        ({"input": object()}, "not a JSON value"),
        ({"overrides": {"nobody": {"input": 1}}}, "refer to unknown step"),
        ({"variables": [1]}, "variables must be a mapping"),
        ({"timeout": -1}, "timeout"),
        ({"on_cancel": "never"}, "on_cancel"),
    ],
    ids=["a batch", "NaN", "an object", "an override", "variables", "a timeout", "on_cancel"],
)
async def test_every_check_is_made_each_time(
    kind: str, arguments: dict[str, Any], message: str, server_url: str
) -> None:
    async with open_client(kind, server_url) as client:
        for _ in range(2):
            assert (await client.run(FLOW, INPUT)).output == INPUT
            with pytest.raises(InvalidArgumentError, match=message):
                await client.run(FLOW, **{"input": INPUT, **arguments})


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_integers_stay_exact_each_time(kind: str, server_url: str, release: str) -> None:
    async with open_client(kind, server_url) as client:
        for _ in range(2):
            assert (await client.run(FLOW, INPUT)).output == INPUT
            if not has(release, "exact_integers_refused"):
                assert (await client.run(FLOW, {"n": 2**60 + 1})).output == {"n": 2**60 + 1}
            else:
                with pytest.raises(InvalidArgumentError, match="send the 61-bit one as a string"):
                    await client.run(FLOW, {"n": 2**60 + 1})


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_every_run_is_recorded(kind: str, server_url: str, history: History) -> None:
    async with open_client(kind, server_url, history=history) as client:
        for number in range(3):
            await client.run(FLOW, {"n": number})
    entries = history.search()
    assert [entry.input for entry in entries] == [{"n": 2}, {"n": 1}, {"n": 0}]
    assert {entry.status for entry in entries} == {"completed"}


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_secrets_are_hidden_each_time(kind: str, server_url: str) -> None:
    async with open_client(kind, server_url) as client:
        for _ in range(3):
            result = await client.run(SECRET)
            assert result.is_failed
            assert "hush-hush-hush" not in str(result.error)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_deadline_holds_each_time(kind: str, worker_runtime: StepflowRuntime) -> None:
    slow = one_step(SLEEP)
    async with open_client(kind, worker_runtime.url) as client:
        for _ in range(2):
            assert (await client.run(slow, {"seconds": 0, "value": 1}, timeout=30)).output == 1
            began = time.monotonic()
            with pytest.raises((RunTimeoutError, RequestTimeoutError, AmbiguousRunError)):
                await client.run(slow, {"seconds": 8, "value": 1}, timeout=0.5)
            assert time.monotonic() - began < 7.5


async def test_a_call_can_be_cancelled_each_time(worker_runtime: StepflowRuntime) -> None:
    slow = one_step(SLEEP)
    async with StepflowClient(worker_runtime.url) as client:
        for number in range(2):
            assert (await client.run(slow, {"seconds": 0, "value": number})).output == number
            running = asyncio.ensure_future(client.run(slow, {"seconds": 8, "value": 0}))
            await asyncio.sleep(0.2)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            # The client does not reuse the connection, which may still receive the old response.
            assert (await client.run(slow, {"seconds": 0, "value": number})).output == number


async def test_simultaneous_runs_return_their_own_results(server_url: str) -> None:
    async with StepflowClient(server_url) as client:
        await client.run(FLOW, INPUT)
        results = await asyncio.gather(*(client.run(FLOW, {"n": number}) for number in range(300)))
    assert [result.output for result in results] == [{"n": number} for number in range(300)]
    assert len({result.run_id for result in results}) == 300
