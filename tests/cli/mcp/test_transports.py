"""`stepflow mcp serve` over standard input and output and over HTTP, when it is killed, stopped or attacked."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_cli.mcp.early_handshake import MCP_VERSIONS
from stepflow_cli.signals import STOP
from stepflow_client import SyncStepflowClient

from tests.cli.command import STEPFLOW, Stepflow
from tests.cli.mcp.agents import BROKEN, GREET, SLOW, run_id_of, text_of, write_flows
from tests.cli.mcp.process import TOKEN, Process
from tests.cli.terminal import Terminal
from tests.fault_proxy import FaultProxy

Start = Callable[..., Process]


@pytest.fixture
def start(stepflow: Stepflow, server: str) -> Iterator[Start]:
    """Start the command with flows; processes that still run after the test are killed."""
    folder = write_flows(stepflow.folder / "tools", GREET, SLOW, BROKEN)
    started: list[Process] = []

    def begin(*arguments: str, token: str = TOKEN) -> Process:
        started.append(Process([str(folder), *arguments], stepflow, token))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.mark.exhaustive
def test_only_the_protocol_is_on_standard_output(start: Start) -> None:
    server_process = start("-v", "--log-level", "debug")
    assert server_process.begin()["serverInfo"]["name"] == "stepflow"
    assert server_process.call(1, "greet", who="Ada")["structuredContent"]["output"] == {"text": "Ada"}
    out, err = server_process.process.communicate(timeout=60)
    assert (out, server_process.process.returncode) == ("", 0)
    assert "Traceback" not in err


# The import of the `mcp` package blocks until the file `go` exists.
SLOW_IMPORT = """
import os, sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        while name == "mcp.server.lowlevel" and not os.path.exists("go"):
            time.sleep(0.01)
sys.meta_path.insert(0, Finder())
"""


def test_tools_are_listed_before_the_mcp_package_is_imported(start: Start, stepflow: Stepflow) -> None:
    stepflow.at_start(SLOW_IMPORT)
    server_process = start("--read-only", "greet")
    assert server_process.begin()["serverInfo"]["name"] == "stepflow"
    assert [tool["name"] for tool in server_process.request("tools/list", 1)["tools"]][:3] == [
        "broken",
        "greet",
        "slow",
    ]
    (stepflow.folder / "go").touch()
    assert server_process.call(2, "greet", who="Ada")["structuredContent"]["output"] == {"text": "Ada"}
    assert '"agent": "raw"' in stepflow("history", "list", "-o", "json").stdout


@pytest.mark.parametrize(
    "version", [*(pytest.param(each, marks=pytest.mark.exhaustive) for each in MCP_VERSIONS[:-1]), MCP_VERSIONS[-1]]
)
def test_early_responses_match_those_of_the_mcp_package(start: Start, version: str) -> None:
    early, late = start("--tools", "runs,diagnose,author"), start("--tools", "runs,diagnose,author")
    # Only the `mcp` package answers a ping, so all later responses come from the package.
    assert late.request("ping", 0) == {}
    assert early.begin(version) == late.begin(version)
    assert early.request("tools/list", 1) == late.request("tools/list", 1)


@pytest.mark.exhaustive
def test_repeated_request_id_starts_one_run(start: Start, stepflow: Stepflow) -> None:
    server_process = start()
    server_process.begin()
    first, again = server_process.call(7, "greet", who="Ada"), server_process.call(7, "greet", who="Ada")
    other = server_process.call(8, "greet", who="Ada")
    assert first == again
    assert other["structuredContent"]["run_id"] != first["structuredContent"]["run_id"]


def test_run_outlives_the_process_that_started_it(start: Start, stepflow: Stepflow) -> None:
    server_process = start("--max-wait", "0.3")
    server_process.begin()
    handle = server_process.call(1, "slow", ms=1_000)["structuredContent"]
    assert handle["status"] == "running"
    server_process.process.send_signal(signal.SIGKILL)
    server_process.process.wait()
    later = start()
    later.begin()
    assert handle["run_id"] in later.call(1, "list_runs")["content"][0]["text"]
    done = later.call(2, "wait_run", run_id=handle["run_id"])["structuredContent"]
    assert (done["status"], done["output"]["duration_ms"]) == ("completed", 1_000)
    listed = stepflow("history", "list", "--label", "agent=raw", "-o", "json")
    assert handle["run_id"] in listed.stdout
    assert handle["run_id"] in stepflow("runs", "list", "--label", "via=mcp", "-o", "json").stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_http_server(start: Start, signal_number: signal.Signals) -> None:
    server_process = start("--http", "0")
    server_process.url()
    server_process.process.send_signal(signal_number)
    assert server_process.process.wait(60) == 0


def test_ctrl_c_stops_it_on_a_terminal(stepflow: Stepflow, server: str, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("mcp", "serve", str(write_flows(stepflow.folder / "tools", GREET)))
    shown.wait_for("waiting for an agent", 60)
    # Signals are handled once it reads and answers messages.
    shown.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n")
    shown.wait_for('"result"', 60)
    shown.interrupt()
    assert shown.end(60) == 0
    assert "Traceback" not in shown.screen


@pytest.mark.parametrize("signal_number", STOP)
def test_signal_stops_it_while_it_waits_for_messages(start: Start, signal_number: signal.Signals) -> None:
    server_process = start()
    server_process.begin()
    # The server may not have read the last message of the handshake yet.
    server_process.process.send_signal(signal_number)
    assert server_process.process.wait(60) == 0
    assert server_process.process.stderr is not None
    assert server_process.process.stderr.read() == ""


@pytest.mark.exhaustive
@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_official_client_over_stdio(stepflow: Stepflow, server: str, mode: str) -> None:
    from mcp import Client, StdioServerParameters

    folder = write_flows(stepflow.folder / "tools", GREET)
    command = StdioServerParameters(
        command=str(STEPFLOW), args=["mcp", "serve", str(folder)], env=stepflow.environment, cwd=str(stepflow.folder)
    )
    async with Client(command, mode=mode) as client:
        assert (await client.call_tool("greet", {"who": "Ada"})).structured_content["output"] == {"text": "Ada"}


@pytest.mark.exhaustive
@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_official_client_over_http(start: Start, mode: str) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    url = start("--http", "0", "--max-wait", "0.5").url()
    headers = {"authorization": f"Bearer {TOKEN}"}
    progress_reports: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        progress_reports.append(done)

    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            greeted = await client.call_tool("greet", {"who": "Ada"})
            assert greeted.structured_content["output"] == {"text": "Ada"}
            assert "- who: the schema expects string" in text_of(await client.call_tool("greet", {"who": 7}))
            started = await client.call_tool("slow", {"ms": 1_000}, progress_callback=progress)
            assert started.structured_content["status"] == "running"
            assert progress_reports
        # Another connection gets the result.
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            while (done := await client.call_tool("wait_run", {"run_id": run_id_of(started)})).structured_content[
                "status"
            ] == "running":
                pass
            assert done.structured_content["output"]["duration_ms"] == 1_000


@pytest.mark.parametrize("cancellation", ["notification", "closed stream"])
def test_request_cancelled_over_http_does_not_cancel_its_run(start: Start, cancellation: str) -> None:
    url = start("--http", "0").url()
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/json, text/event-stream"}
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}

    def message(method: str, id: int | None = None, **params: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": method, "params": params, **({} if id is None else {"id": id})}

    with httpx.Client(trust_env=False, timeout=30, headers=headers) as http:
        initialized = http.post(url, json=message("initialize", 0, **client))
        http.headers["mcp-session-id"] = initialized.headers["mcp-session-id"]
        http.post(url, json=message("notifications/initialized")).raise_for_status()

        def call(id: int, name: str, **arguments: Any) -> dict[str, Any]:
            response = http.post(url, json=message("tools/call", id, name=name, arguments=arguments)).raise_for_status()
            event: dict[str, Any] = json.loads(re.findall("^data: (.+)$", response.text, re.MULTILINE)[-1])
            return event["result"]  # type: ignore[no-any-return]

        slow = message("tools/call", 1, name="slow", arguments={"ms": 2_000})
        with http.stream("POST", url, json=slow) as stream:
            while not (runs := call(2, "list_runs")["structuredContent"]["runs"]):
                pass
            if cancellation == "notification":
                http.post(url, json=message("notifications/cancelled", requestId=1)).raise_for_status()
                assert "Request cancelled" in stream.read().decode()
        (run,) = runs
        assert call(3, "get_run", run_id=run["run_id"])["structuredContent"]["status"] == "running"
        done = call(4, "wait_run", run_id=run["run_id"])
        assert (done["isError"], done["structuredContent"]["status"]) == (False, "completed")


def test_closed_stream_ends_its_request(start: Start, server: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/json, text/event-stream"}

    def message(method: str, id: int, **params: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}

    with FaultProxy(server) as proxy, httpx.Client(trust_env=False, timeout=30, headers=headers) as http:
        url = start("--http", "0", "--url", proxy.url).url()
        info = {"name": "raw", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        initialized = http.post(url, json=message("initialize", 0, **params))
        http.headers["mcp-session-id"] = initialized.headers["mcp-session-id"]
        http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}).raise_for_status()
        call = message("tools/call", 1, name="slow", arguments={"ms": 60_000}, _meta={"progressToken": 1})
        with http.stream("POST", url, json=call) as stream:
            # The second step has started, so the server is waiting for it.
            next(line for line in stream.iter_lines() if "at second" in line)
            waiting = proxy.open
        deadline = time.monotonic() + 30
        while proxy.open >= waiting:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with SyncStepflowClient(server) as client:
        # The run continues.
        slow = [each.run_id for each in client.list_runs("running").runs if each.flow_name == "slow"]
        assert slow
        for run_id in slow:
            client.cancel_run(run_id)


def test_http_requires_the_token_and_the_right_host_and_origin(start: Start) -> None:
    url = start("--http", "0").url()
    host = url.split("/")[2]
    good = {"authorization": f"Bearer {TOKEN}", "accept": "application/json, text/event-stream"}
    begin = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    with httpx.Client(trust_env=False, timeout=30) as client:
        for headers, path, status in (
            (good, "", 200),
            ({**good, "origin": f"http://{host}"}, "", 200),
            ({**good, "authorization": "Bearer other"}, "", 401),
            ({**good, "authorization": f"Basic {TOKEN}"}, "", 401),
            ({"accept": good["accept"]}, "", 401),
            ({**good, "host": "evil.example"}, "", 403),
            ({**good, "host": "evil.example:80"}, "", 403),
            ({**good, "origin": "http://evil.example"}, "", 403),
            ({**good, "origin": "null"}, "", 403),
            (good, "/other", 404),
        ):
            assert client.post(url + path, headers=headers, json=begin).status_code == status, headers
        large = client.post(url, headers={**good, "content-type": "application/json"}, content=b" " * 50_000_000)
        assert large.status_code == 413
        # The server still works after the refusals.
        assert client.post(url, headers=good, json=begin).status_code == 200


def test_empty_token_is_replaced_by_a_generated_one(start: Start) -> None:
    process = start("--http", "0", token="").process
    assert process.stderr is not None
    printed = next(line for line in process.stderr if line.startswith("Authorization"))
    assert re.fullmatch(r"Authorization: Bearer [\w-]{43}\n", printed)


@pytest.mark.exhaustive
def test_fifty_megabytes_over_standard_input_are_refused(start: Start) -> None:
    server_process = start()
    server_process.begin()
    refused = server_process.call(1, "greet", who="x" * 50_000_000)
    assert refused["isError"]
    assert "are allowed" in refused["content"][0]["text"]
    assert server_process.call(2, "greet", who="Ada")["structuredContent"]["output"] == {"text": "Ada"}


def call_with_id_in_params(value: str) -> str:
    return f'{{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {{"id": {value}}}}}'


@pytest.mark.parametrize("is_initialized", [False, True])
def test_invalid_messages_get_an_error(start: Start, is_initialized: bool) -> None:
    server_process = start()
    assert server_process.process.stdin is not None
    if is_initialized:
        server_process.begin()
    for line, code, id in (
        ("{", -32700, None),
        ("\x00\x1b[2J", -32700, None),
        (call_with_id_in_params(r'"\ud800"'), -32700, 5),
        (call_with_id_in_params("9" * 5_000), -32700, 5),
        (call_with_id_in_params("[" * 300 + "]" * 300), -32700, 5),
        (call_with_id_in_params("[" * 100_000 + "]" * 100_000), -32700, None),
        ("null", -32600, None),
        ("[]", -32600, None),
        ('[{"jsonrpc": "2.0", "id": 5, "method": "ping"}]', -32600, None),
        ('{"jsonrpc": "2.0", "id": 5, "method": "ping", "params": []}', -32600, 5),
        ('{"jsonrpc": "2.0", "id": "five", "method": 1}', -32600, "five"),
        # An invalid response to a request of the server: its ID must not be mistaken for an agent's request ID.
        ('{"jsonrpc": "2.0", "id": 5}', -32600, None),
        ('{"jsonrpc": "2.0", "id": 5, "result": []}', -32600, None),
    ):
        server_process.process.stdin.write(f"\n{line}\n")
        server_process.process.stdin.flush()
        response = server_process.read()
        assert (response["error"]["code"], response["id"]) == (code, id), response
    if not is_initialized:
        server_process.begin()
    assert server_process.call(1, "greet", who="Ada")["structuredContent"]["output"] == {"text": "Ada"}


@pytest.mark.exhaustive
def test_port_in_use_is_an_error(start: Start, stepflow: Stepflow) -> None:
    port = start("--http", "0").url().split(":")[2].split("/")[0]
    done = stepflow("mcp", "serve", str(Path("tools")), "--http", port)
    assert done.code != 0
    # The option isn't called --port here.
    assert done.stderr == f"stepflow: port {port} is in use\nhint: choose a different port, or 0 for any free one\n"
