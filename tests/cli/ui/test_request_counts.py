"""Views of an ended run read each part of the run once, so they send few requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.gateway import Gateway
from tests.cli.mcp import agents
from tests.cli.ui.process import StartUi

CHAIN = {
    "name": "chain",
    "steps": [
        {"id": "read", "component": "/builtin/noop", "input": {"order": {"$input": "order"}}},
        {"id": "charge", "component": "/builtin/noop", "input": {"card": {"$step": "read", "path": "$.order.card"}}},
        {"id": "ship", "component": "/builtin/noop", "input": {"paid": {"$step": "charge"}}},
    ],
    "output": {"$step": "ship"},
}


class Counter:
    """Records the requests that reach the server through a gateway."""

    def __init__(self, url: str) -> None:
        self.paths: list[str] = []
        self.gateway = Gateway(url, self._record)

    def _record(self, path: str, status: int, content: bytes) -> tuple[int, bytes]:
        self.paths.append(path.partition("/api/v1")[2])
        return status, content

    def requests_of(self, call: Callable[[], object]) -> list[str]:
        """Return the paths of the requests sent by a call."""
        self.paths.clear()
        call()
        return list(self.paths)


@pytest.fixture
def counter(newest_server: StepflowRuntime) -> Iterator[Counter]:
    counting = Counter(newest_server.url)
    with counting.gateway:
        yield counting


@pytest.fixture
def failed(server: str, stepflow: Stepflow) -> str:
    """A run of three steps: the first completed, the second failed, the third did not run."""
    (stepflow.folder / "chain.json").write_text(json.dumps(CHAIN))
    result = stepflow("run", "chain.json", "--input-json", '{"order": {}}', "-o", "json")
    assert result.code == 1, result
    return str(json.loads(result.stdout)["run_id"])


@pytest.mark.parametrize(
    ("command", "code", "max_requests"),
    [
        ("runs get RUN", 0, 5),
        ("runs steps RUN", 0, 5),
        ("runs report RUN -O report.html", 0, 5),
        ("runs watch RUN", 1, 6),
        ("runs rerun RUN --from charge", 1, 9),
        ('runs rerun RUN --from read --input-json {"order":{"card":1}}', 0, 9),
        ('run hello.yaml --input-json {"name":"Ada"}', 0, 5),
        # One fewer if the run has already ended when the server responds to the submission.
        ('run chain.json --input-json {"order":{}}', 1, 6),
    ],
)
def test_requests_of_commands(
    failed: str, counter: Counter, stepflow: Stepflow, command: str, code: int, max_requests: int
) -> None:
    arguments = [each.replace("RUN", failed) for each in command.split()]

    def call() -> None:
        result = stepflow(*arguments, STEPFLOW_URL=counter.gateway.url)
        assert result.code == code, result

    sent = counter.requests_of(call)
    assert len(sent) <= max_requests, sent


def test_requests_of_the_run_page(failed: str, counter: Counter, start_ui: StartUi) -> None:
    with start_ui(counter.gateway.url).browser() as browser:

        def call() -> None:
            page = browser.get(f"/runs/{failed}")
            assert "charge" in page.text, page

        first, second = counter.requests_of(call), counter.requests_of(call)
    assert len(first) <= 6, first
    assert len(second) <= 1, second


async def test_requests_of_the_diagnose_tool(failed: str, counter: Counter, tmp_path: Path) -> None:
    folder = agents.write_flows(tmp_path / "tools", agents.GREET)
    async with agents.agent(counter.gateway.url, folder, tools=["diagnose"], all_runs=True) as agent:
        counter.paths.clear()
        answer = await agent.call_tool("diagnose_run", {"run_id": failed})
        sent = list(counter.paths)
    assert "Cause: step charge" in agents.text_of(answer)
    assert len(sent) <= 5, sent
