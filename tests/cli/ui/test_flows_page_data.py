"""The page of flows lists every flow with its latest runs (on a real server)."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from stepflow_cli.settings.run_history import LazyRunHistory
from stepflow_cli.ui import flows_page_data
from stepflow_cli.ui.flow_folder import FlowFolder
from stepflow_client import StepflowClient, StepflowRuntime
from stepflow_client.history import History

pytestmark = pytest.mark.anyio


def flow(name: str, **more: Any) -> dict[str, Any]:
    step = {"id": "a", "component": "/builtin/noop", "input": {"$input": "$.x"}, **more}
    return {"name": name, "steps": [step], "output": {"$step": "a"}}


@pytest.fixture
def names() -> dict[str, str]:
    return {each: f"{each}-{uuid4().hex[:8]}" for each in ("busy", "rare", "filed", "inner", "outer", "never")}


@pytest.fixture
async def client(
    newest_server: StepflowRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StepflowClient]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with StepflowClient(newest_server.url, history=History()) as opened:
        yield opened


async def run(client: StepflowClient, flow: dict[str, Any], value: Any) -> None:
    await client.wait_run(await client.submit(flow, value), timeout=60)


async def test_busy_flow_does_not_hide_others(
    client: StepflowClient, names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(client, flow(names["rare"]), {"x": 1})
    async with StepflowClient(client.url) as elsewhere:
        await run(elsewhere, flow(names["filed"]), {"x": 1})
        for number in range(6):
            await run(elsewhere, flow(names["busy"]), {"x": number} if number else {})
    (tmp_path / "flows").mkdir()
    for each in ("filed", "never"):
        (tmp_path / "flows" / f"{each}.json").write_text(json.dumps(flow(names[each])))
    folder = FlowFolder(tmp_path / "flows")
    monkeypatch.setattr(flows_page_data, "_PAGE_SIZE", 3)
    monkeypatch.setattr(flows_page_data, "_MAX_PAGES", 2)
    result = await flows_page_data.build_flows_page_contents(client, LazyRunHistory(), folder)
    assert result.read == 6
    assert result.since is not None
    assert {each.name for each in result.flows} >= {names["busy"], names["rare"], names["filed"]}
    assert [each.name for each in result.files] == ["never.json"]
    (busy,) = [each for each in result.flows if each.name == names["busy"]]
    assert [each.status.value for each in busy.latest_runs] == ["failed", *["completed"] * 5]
    assert busy.success_rate == pytest.approx(5 / 6)
    assert busy.median_duration is not None
    assert [
        each.name
        for each in (
            await flows_page_data.build_flows_page_contents(client, LazyRunHistory(), None, names["rare"][:7])
        ).flows
    ] == [names["rare"]]


async def test_flows_run_by_steps_are_listed_separately(client: StepflowClient, names: dict[str, str]) -> None:
    inner = {**flow(names["inner"]), "output": {"$step": "a"}}
    outer = {
        "name": names["outer"],
        "steps": [
            {
                "id": "each",
                "component": "/builtin/map",
                "input": {"workflow": {"$literal": inner}, "items": [{"x": 1}, {"x": 2}]},
            }
        ],
        "output": {"$step": "each"},
    }
    await run(client, outer, None)
    result = await flows_page_data.build_flows_page_contents(client, LazyRunHistory())
    assert names["inner"] in {each.name for each in result.sub_flows}
    assert names["inner"] not in {each.name for each in result.flows}
    assert names["outer"] in {each.name for each in result.flows}


def test_page_shows_latest_runs_and_success_rate(
    session: httpx.Client, newest_server: StepflowRuntime, names: dict[str, str]
) -> None:
    client = newest_server.sync_client
    for value in ({"x": 1}, {}):
        client.wait_run(client.submit(flow(names["rare"]), value), timeout=60)
    text = session.get(f"/flows?q={names['rare']}").text
    assert 'aria-label="completed, failed"' in text
    assert "50%" in text
    assert names["rare"] in text
    assert "No flow has that name." in session.get("/flows?q=nothing-of-this-name").text


def test_the_folder_reads_only_changed_files_that_it_may_show(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps(flow("secret")))
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "link.json").symlink_to("../secret.json")
    (tmp_path / "flows" / "data.json").write_text(json.dumps({"steps": " " * 3_000_000}))
    (tmp_path / "flows" / "small.json").write_text(json.dumps(flow("small")))
    opened: list[str] = []
    # Audit hooks can't be removed, so this one ignores all other folders.
    sys.addaudithook(
        lambda event, values: (
            opened.append(Path(values[0]).name)
            if event == "open" and str(values[0]).startswith(str(tmp_path))
            else None
        )
    )
    folder = FlowFolder(tmp_path / "flows")
    assert [each.name for each in folder.list_flow_files()] == ["small.json"]
    assert set(opened) == {"small.json"}
    opened.clear()
    assert [each.name for each in folder.list_flow_files()] == ["small.json"]
    assert opened == []
