"""Tools, resources and prompts of the agent server, used by the official client in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import SyncStepflowClient

from tests.cli.mcp.agents import GREET, SLOW, agent, protocol_error, run_id_of, serving, text_of, write_flows

pytestmark = pytest.mark.anyio
OTHERS = [pytest.param(each, marks=pytest.mark.exhaustive) for each in ("2025-11-25", "2026-07-28")]


async def test_each_flow_is_a_tool(url: str, folder: Path, mode: str) -> None:
    async with agent(url, folder, mode, read_only=["greet"]) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["broken", "greet", "slow", "get_run", "wait_run", "cancel_run", "list_runs"]
        greet = tools["greet"]
        assert greet.description == "Greets somebody."
        assert greet.input_schema == GREET["schemas"]["properties"]["input"]  # type: ignore[index]
        assert greet.annotations is not None
        assert (greet.annotations.read_only_hint, greet.annotations.destructive_hint) == (True, False)
        assert tools["slow"].annotations is not None
        assert (tools["slow"].annotations.read_only_hint, tools["slow"].annotations.destructive_hint) == (False, True)
        assert tools["slow"].description == (
            "Run the flow slow, which has the steps first (/builtin/sleep), second (/builtin/sleep)."
        )
        result = await client.call_tool("greet", {"who": "Ada"})
        assert result.structured_content["output"] == {"text": "Ada"}
        assert text_of(result).endswith('completed. Its output:\n{"text": "Ada"}')
        Draft202012Validator(greet.output_schema).validate(result.structured_content)


@pytest.mark.parametrize("version", ["2025-06-18", *OTHERS])
async def test_old_and_new_protocol_versions_work(
    url: str, folder: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp.client.session.LATEST_HANDSHAKE_VERSION", version)
    async with agent(url, folder, "legacy" if version < "2026" else version) as client:
        assert client.protocol_version == version
        result = await client.call_tool("greet", {"who": "Ada"})
        assert result.structured_content["status"] == "completed"
        assert len((await client.list_tools()).tools) == 7


async def test_wrong_arguments_get_a_helpful_message(url: str, folder: Path, mode: str) -> None:
    async with agent(url, folder, mode) as client:
        for name, arguments, message in (
            ("greet", {"wo": "Ada"}, "- wo: unknown field 'wo'; did you mean 'who'?"),
            ("greet", {"who": 7}, "- who: the schema expects string, not integer (got 7)"),
            ("slow", {"mms": 1}, "- mms: unknown field 'mms'; did you mean 'ms'?"),
            ("slow", {}, "- the arguments: the required field 'ms' is missing; add ms: integer"),
            ("get_run", {}, "- the arguments: the required field 'run_id' is missing; add run_id: string"),
            ("get_run", {"run_id": "x"}, "a run ID must be a UUID, not 'x'"),
            ("gret", {}, "unknown tool 'gret'; did you mean 'greet'?"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert message in text_of(result)


async def test_long_run_returns_its_run_id_to_wait_for(url: str, folder: Path, mode: str) -> None:
    progress_reports: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        progress_reports.append((done, total, message))

    async with agent(url, folder, mode, bounds={"max_wait": 0.8}) as client:
        tool = next(each for each in (await client.list_tools()).tools if each.name == "slow")
        started = await client.call_tool("slow", {"ms": 1_500}, progress_callback=progress)
        assert not started.is_error
        assert started.structured_content["status"] == "running"
        assert f"Call wait_run with run_id {run_id_of(started)}" in text_of(started)
        Draft202012Validator(tool.output_schema).validate(started.structured_content)
        # In memory, the newest protocol version cannot carry a progress token.
        assert bool(progress_reports) is (mode == "legacy")
        assert [each[0] for each in progress_reports] == sorted({each[0] for each in progress_reports})
        assert {each[1] for each in progress_reports} <= {2}
        while (done := await client.call_tool("wait_run", {"run_id": run_id_of(started)})).structured_content[
            "status"
        ] == "running":
            pass
        assert done.structured_content["output"]["duration_ms"] == 1_500
        assert (await client.call_tool("get_run", {"run_id": run_id_of(started)})).structured_content == (
            done.structured_content
        )


async def test_failed_run_is_diagnosed_and_rerun(url: str, folder: Path, mode: str) -> None:
    async with agent(url, folder, mode, tools=["runs", "diagnose"]) as client:
        failed = await client.call_tool("broken", {"order": {"card": "4111"}})
        assert failed.is_error
        assert f"Call diagnose_run with run_id {run_id_of(failed)}" in text_of(failed)
        diagnosis = text_of(await client.call_tool("diagnose_run", {"run_id": run_id_of(failed)}))
        assert "Cause: step charge, component /builtin/noop" in diagnosis
        assert '"id": 7' in diagnosis
        assert "from_step charge" in diagnosis
        again = await client.call_tool(
            "rerun",
            {"run_id": run_id_of(failed), "from_step": "charge", "input": {"order": {"card": {"number": "4111"}}}},
        )
        assert not again.is_error, text_of(again)
        assert again.structured_content["output"] == {"card": "4111", "id": 7}
        wrong = await client.call_tool("rerun", {"run_id": run_id_of(failed), "input": {"order": 7}})
        assert "- order: the schema expects object" in text_of(wrong)
        missing = await client.call_tool("broken", {"order": {}})
        assert "- order: the required field 'card' is missing; add card: ..." in text_of(missing)
        fixed = {"charge": {"value": {"input": 1}}}
        other = await client.call_tool(
            "rerun", {"run_id": run_id_of(failed), "input": {"order": {}}, "overrides": fixed}
        )
        assert other.structured_content["output"] == 1


async def test_messages_mention_only_available_tools(url: str, folder: Path) -> None:
    async with agent(url, folder, tools=["get_run"], bounds={"max_wait": 0.2, "runs": 1}) as client:
        started = await client.call_tool("slow", {"ms": 8_000})
        assert started.structured_content["next"] == f"Call get_run with run_id {run_id_of(started)} for its state."
        assert "list_runs" not in (client.instructions or "")
        refused = text_of(await client.call_tool("slow", {"ms": 1}))
        assert refused == "1 runs are in progress, which is the maximum"


async def test_repeated_rerun_starts_one_run(url: str, folder: Path) -> None:
    async with agent(url, folder, tools=["runs", "diagnose", "run_flow_text"]) as client:
        run_id = run_id_of(await client.call_tool("greet", {"who": "Ada"}))
        again = {"rerun": {"run_id": run_id}, "run_flow_text": {"flow": json.dumps(GREET), "input": {"who": "Eve"}}}
        for name, arguments in again.items():
            meta: Any = {"org.stepflow/idempotency-key": f"key of {name}"}
            first, second = [run_id_of(await client.call_tool(name, arguments, meta=meta)) for _ in range(2)]
            assert first == second != run_id
        wrong = await client.call_tool("run_flow_text", {"flow": json.dumps(GREET), "input": {"wo": "Eve"}})
        assert "- wo: unknown field 'wo'; did you mean 'who'?" in text_of(wrong)


async def test_agents_see_only_runs_of_agents(url: str, folder: Path) -> None:
    with SyncStepflowClient(url) as other:
        foreign = other.submit(GREET, {"who": "Bob"})
    async with agent(url, folder) as client:
        own = run_id_of(await client.call_tool("greet", {"who": "Ada"}))
        listed = text_of(await client.call_tool("list_runs", {}))
        assert own in listed
        assert foreign not in listed
        for tool in ("get_run", "cancel_run", "wait_run"):
            assert "was not started by an agent" in text_of(await client.call_tool(tool, {"run_id": foreign}))
        with protocol_error("no such run"):
            await client.read_resource(f"stepflow://runs/{foreign}")
    async with agent(url, folder, all_runs=True) as client:
        assert foreign in text_of(await client.call_tool("list_runs", {"limit": 100}))
        assert (await client.call_tool("get_run", {"run_id": foreign})).structured_content["status"] == "completed"


async def test_large_outputs_are_linked_and_read_in_pages(url: str, folder: Path) -> None:
    long = "ü" * 70_000
    async with agent(url, folder) as client:
        result = await client.call_tool("greet", {"who": long})
        assert len(text_of(result)) < 5_000
        link = next(each for each in result.content if each.type == "resource_link")
        assert result.structured_content["output_resource"] == link.uri
        pages, uri = [], link.uri
        while uri:
            content = (await client.read_resource(uri)).contents[0]
            pages.append(content.text)  # type: ignore[union-attr]
            uri = (content.meta or {}).get("org.stepflow/next", "")
        assert json.loads("".join(pages)) == {"text": long}
        page = text_of(await client.call_tool("get_run", {"run_id": run_id_of(result), "offset": 60_000}))
        assert "characters 60,000 to 70,012 of 70,012" in page


async def test_flows_runs_and_reports_are_resources(url: str, folder: Path, mode: str) -> None:
    async with agent(url, folder, mode) as client:
        run_id = run_id_of(await client.call_tool("greet", {"who": "Ada"}))
        listed = [str(each.uri) for each in (await client.list_resources()).resources]
        assert listed == [f"stepflow://flows/{name}" for name in ("broken", "greet", "slow")] + [
            f"stepflow://runs/{run_id}"
        ]
        assert len((await client.list_resource_templates()).resource_templates) == 3
        read = {uri: (await client.read_resource(uri)).contents[0].text for uri in listed}  # type: ignore[union-attr]
        assert json.loads(read["stepflow://flows/greet"]) == GREET
        assert json.loads(read[f"stepflow://runs/{run_id}"])["status"] == "completed"
        report = (await client.read_resource(f"stepflow://runs/{run_id}/report")).contents[0]
        assert "<html" in report.text  # type: ignore[union-attr]
        for wrong in (
            "stepflow://flows/../x",
            "stepflow://runs/x",
            "file:///etc/passwd",
            f"stepflow://runs/{run_id}/x",
        ):
            with protocol_error():
                await client.read_resource(wrong)


async def test_examples_are_prompts(url: str, folder: Path, mode: str) -> None:
    async with agent(url, folder, mode) as client:
        (prompt,) = (await client.list_prompts()).prompts
        assert (prompt.name, prompt.description) == ("greet.ada", "Greets Ada.")
        (message,) = (await client.get_prompt("greet.ada")).messages
        assert message.content.text.endswith('{"who": "Ada"}')  # type: ignore[union-attr]
        with protocol_error():
            await client.get_prompt("other")


async def test_changed_files_change_the_tools(url: str, folder: Path, mode: str) -> None:
    import anyio
    from mcp import Client

    changed = anyio.Event()

    async def note(message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            changed.set()

    async with (
        serving(url, folder) as agent_server,
        Client(agent_server.protocol, mode=mode, message_handler=note) as client,
    ):
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tools.list_changed
        if mode == "legacy":
            write_flows(folder, {**SLOW, "name": "new"})
            with anyio.fail_after(60):
                await changed.wait()
        else:
            async with client.listen(tools_list_changed=True) as events:
                write_flows(folder, {**SLOW, "name": "new"})
                with anyio.fail_after(60):
                    await anext(aiter(events))
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "new" in names
        (folder / "greet.json").write_text("{")
        assert (await client.call_tool("greet", {"who": "Ada"})).structured_content["status"] == "completed"


async def test_author_tools_do_not_include_run_flow_text(url: str, folder: Path) -> None:
    text = json.dumps({**GREET, "output": {"$step": "b"}})
    async with agent(url, folder, tools=["author"]) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names[3:] == ["validate_flow", "list_components"]
        checked = await client.call_tool("validate_flow", {"flow": text})
        assert checked.structured_content["is_valid"] is False
        assert "the output refers to step 'b'" in text_of(checked)
        assert "\n/builtin/eval: " in text_of(await client.call_tool("list_components", {}))
        assert "input_schema" in text_of(await client.call_tool("list_components", {"component": "map"}))
        assert "did you mean" in text_of(await client.call_tool("list_components", {"component": "maps"}))
        assert "unknown tool" in text_of(await client.call_tool("run_flow_text", {"flow": text}))
        assert (await client.call_tool("validate_flow", {"flow": "]"})).is_error
    async with agent(url, folder, tools=["run_flow_text"]) as client:
        misspelled = json.dumps(GREET).replace("/builtin/noop", "/builtin/nop")
        failed = await client.call_tool("run_flow_text", {"flow": misspelled, "input": {"who": "Ada"}})
        assert "Hint: unknown component /builtin/nop; did you mean /builtin/noop?" in text_of(failed)
        result = await client.call_tool("run_flow_text", {"flow": json.dumps(GREET), "input": {"who": "Ada"}})
        assert result.structured_content["output"] == {"text": "Ada"}
