"""While the server and two agents are repeatedly killed, no response is wrong about a run."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import SyncStepflowClient

from tests.cli.command import Stepflow
from tests.cli.mcp.agents import write_flows
from tests.cli.mcp.process import Process
from tests.durable import DurableServer
from tests.fault_proxy import FaultProxy, Script

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(500)]
CALLS = 200
"""Number of calls per agent."""

FIELDS = {"who": {"type": "string"}, "ms": {"type": "integer", "minimum": 0}, "note": {"type": "string"}}
NAP = {
    "name": "nap",
    "schemas": {"properties": {"input": {"type": "object", "properties": FIELDS, "required": ["who", "ms"]}}},
    "steps": [
        {
            "id": "sleep",
            "component": "/builtin/sleep",
            "input": {"duration_ms": {"$input": "ms"}, "passthrough": {"$input": "who"}},
        }
    ],
    "output": {"who": {"$input": "who"}, "slept": {"$step": "sleep"}},
}
TROUBLE = {
    "name": "trouble",
    "schemas": {"properties": {"input": {"type": "object", "properties": FIELDS, "required": ["who"]}}},
    "steps": [],
    "output": {"who": {"$input": "who"}, "note": {"$input": "$.note.text"}},
}
WRONG: list[tuple[str, Callable[[str], dict[str, Any]], str]] = [
    ("nap", lambda who: {"who": who, "ms": 1, "nota": "x"}, "did you mean 'note'?"),
    ("nap", lambda who: {"who": who, "ms": "10"}, "ms: the schema expects integer"),
    ("nap", lambda who: {"who": who}, "add ms: integer"),
    ("nap", lambda who: {"whoo": who, "ms": 1}, "did you mean 'who'?"),
    ("napp", lambda who: {"who": who, "ms": 1}, "did you mean 'nap'?"),
    (
        "trouble",
        lambda who: {"id": who},
        "fields are: who (string, required), ms (integer, at least 0), note (string, required)",
    ),
    ("wait_run", lambda who: {"run": who}, "did you mean 'run_id'?"),
    ("get_run", lambda who: {"run_id": who}, "a run ID must be a UUID"),
]
"""Invalid calls, with a part of the expected message."""
SCRIPTS = [Script(cut_answer=0), Script(cut_answer=60, reset=True), Script(refuse=True), Script(cut_request=40)]


@dataclass
class Response:
    """A response to a tool call."""

    name: str
    who: str
    result: dict[str, Any] | None
    """None if the agent's process was killed before it responded."""

    @property
    def text(self) -> str:
        return "" if self.result is None else str(self.result["content"][0]["text"])

    @property
    def facts(self) -> dict[str, Any]:
        return {} if self.result is None else self.result.get("structuredContent") or {}


@dataclass
class Agent:
    """An agent whose process is killed now and then."""

    number: int
    start: Callable[[], Process]
    responses: list[Response] = field(default_factory=list)

    def work(self) -> None:
        rng = random.Random(self.number)
        process, run_ids = self._start_process(), list[str]()
        for number in range(CALLS):
            # This text is unique to the call, so it identifies the run that the call started.
            who = f"agent{self.number}-{number}"
            name, arguments = self._call(rng, who, run_ids)
            process.send("tools/call", number + 1, name=name, arguments=arguments)
            if rng.random() < 0.03:
                time.sleep(rng.random() / 20)
                process.process.kill()
                process.process.communicate()
                process = self._start_process()
                self.responses.append(Response(name, who, None))
                continue
            message = process.read()
            assert message["id"] == number + 1
            self.responses.append(Response(name, who, message["result"]))
            if run_id := self.responses[-1].facts.get("run_id"):
                run_ids.append(run_id)
        process.process.communicate()

    def _start_process(self) -> Process:
        process = self.start()
        process.begin()
        return process

    def _call(self, rng: random.Random, who: str, run_ids: list[str]) -> tuple[str, dict[str, Any]]:
        kind = rng.random()
        if kind < 0.3:
            name, wrong, _ = rng.choice(WRONG)
            return name, wrong(who)
        if kind < 0.7 or not run_ids:
            # The longest nap takes longer than a call waits.
            return "nap", {"who": who, "ms": rng.choice([1, 5, 1_500])}
        if kind < 0.75:
            return "trouble", {"who": who, "note": "none"}
        name = rng.choice(["wait_run", "wait_run", "get_run", "cancel_run", "diagnose_run", "rerun"])
        return name, {"run_id": rng.choice(run_ids[-5:])}


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DurableServer]:
    server = DurableServer(tmp_path)
    server.start()
    server.wait_ready()
    yield server
    server.kill()


def test_no_response_is_wrong_about_a_run(stepflow: Stepflow, durable: DurableServer, tmp_path: Path) -> None:
    folder, stopped, rng = write_flows(tmp_path / "flows", NAP, TROUBLE), threading.Event(), random.Random(7)
    with FaultProxy(durable.url, lambda _: rng.choice(SCRIPTS) if rng.random() < 0.08 else Script()) as proxy:
        options = ["--url", proxy.url, "--max-wait", "1", "--tools", "runs,diagnose", "--max-rate", "1000"]
        agents = [Agent(number, lambda: Process([str(folder), *options], stepflow)) for number in (1, 2)]

        def break_server() -> int:
            times = 0
            while not stopped.wait(8):
                durable.kill()
                stopped.wait(0.5)
                durable.start()
                durable.wait_ready()
                times += 1
            return times

        with ThreadPoolExecutor(3) as pool:
            kills = pool.submit(break_server)
            works = [pool.submit(agent.work) for agent in agents]
            try:
                [work.result() for work in works]
            finally:
                stopped.set()
            assert kills.result() >= 1
    responses = [each for agent in agents for each in agent.responses]
    assert len(responses) == 2 * CALLS
    with SyncStepflowClient(durable.url) as client:
        check_responses(responses, client)


STARTED_NOTHING = "No run was started"
UNCERTAIN = "before you repeat the call"
ALLOWED = {
    "cancel_run": ("is already completed", "is already failed", "is already cancelled"),
    "rerun": ("has not ended yet",),
}
"""Expected refusals of valid calls, which depend on the state of the run."""


def check_responses(responses: list[Response], client: SyncStepflowClient) -> None:
    """Compare the responses with the runs on the server."""
    runs = {run.run_id: run.status.value for run in client.list_runs(limit=100_000).runs}
    started = {str(each["who"]) for run_id in runs for each in client.get_run_arguments(run_id).inputs or ()}
    counts = Counter(each.facts.get("status", "refused") for each in responses if each.result is not None)
    for each in responses:
        if each.result is None:
            continue
        if (run_id := each.facts.get("run_id")) is not None:
            is_right = runs[run_id] == each.facts["status"] or each.facts["status"] in ("running", "cancelled")
            assert is_right, (each, runs[run_id])
            if "output" in each.facts:
                assert client.get_result(run_id).output == each.facts["output"]
            continue
        expected = [text for name, _, text in WRONG if name == each.name and text in each.text]
        if expected or any(text in each.text for text in ALLOWED.get(each.name, ())):
            assert each.who not in started, each
        elif each.name in ("nap", "trouble", "rerun"):
            is_nothing = STARTED_NOTHING in each.text and each.who not in started
            named = re.match(r"The state of run (\S+) is unknown", each.text)
            assert is_nothing or UNCERTAIN in each.text or (named and named[1] in runs), each
        else:
            # The run could not be read, so the response makes no claim about it.
            assert "the connection to" in each.text or "did not respond" in each.text, each
    # Every kind of response has occurred.
    assert {"completed", "running", "failed", "refused"} <= counts.keys(), counts
