"""`stepflow run` with typical inputs, options and mistakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from stepflow_client import StepflowClientError, SyncStepflowClient

from tests.cli.command import STEPFLOW, CommandResult, Stepflow
from tests.releases import ROOT

HELLO = str(ROOT / "examples" / "hello.yaml")
MESSAGES = {"messages": [{"role": "system", "content": "Be friendly."}, {"role": "user", "content": "World"}]}


def stepflow(*args: str, stdin: str | None = None, **environment: str) -> CommandResult:
    """Run the command in the current folder, for a user without a profile."""
    command = Stepflow(Path.cwd(), Path(os.environ["XDG_STATE_HOME"]))
    return command(*args, stdin=stdin, **environment)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_text("steps: []\noutput: {$input: $}\n")
    return path


def test_embedded_server() -> None:
    done = stepflow("run", HELLO, "--input-json", '{"name": "World"}')
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == MESSAGES


@pytest.mark.parametrize("origin", ["option", "environment"])
def test_server_from_option_and_environment(origin: str, server_url: str) -> None:
    args = ["run", "--flow", HELLO, "--input-yaml", "name: World"]
    done = stepflow(*args, "--url", server_url) if origin == "option" else stepflow(*args, STEPFLOW_URL=server_url)
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == MESSAGES


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("[1, 2]", [1, 2]),
        ("null", None),
        ('"a"', "a"),
        ("1.5", 1.5),
        ("[]", []),
        ('{"ä": ["\\u2028", true]}', {"ä": ["\u2028", True]}),
    ],
)
def test_each_json_value_is_one_input(text: str, output: object, flow: Path, server_url: str) -> None:
    done = stepflow("run", str(flow), "--input-json", text, "--url", server_url)
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == output


def test_input_from_a_file_and_from_standard_input(flow: Path, tmp_path: Path, server_url: str) -> None:
    (tmp_path / "input.yaml").write_text("on: no\n")
    for source, stdin in ((str(tmp_path / "input.yaml"), None), ("-", "on: no")):
        done = stepflow("run", str(flow), "--input", source, "--url", server_url, stdin=stdin)
        assert (done.code, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"on": "no"}


def test_failed_run(server_url: str) -> None:
    example = str(ROOT / "examples" / "fails.yaml")
    done = stepflow("run", example, "--input-json", '{"blob_id": "no-such-blob"}', "--url", server_url)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("stepflow: run ")
    assert "failed at step 'missing_blob'" in done.stderr
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["run", "missing.yaml"], 2, "missing.yaml does not exist"),
        (["run", "."], 2, ". is a folder"),
        (["run", "broken.yaml"], 2, "broken.yaml is not YAML"),
        (["run", "binary.yaml"], 2, "binary.yaml is not UTF-8"),
        (["run", "list.yaml"], 2, "list.yaml is not a flow"),
        (["run", HELLO, "--input-json", "{"], 2, "--input-json is not JSON"),
        (["run", HELLO, "--input", "missing.json"], 2, "missing.json does not exist"),
        (
            ["run", HELLO, "--input", "a.json", "--input-json", "1"],
            2,
            "--input and --input-json cannot be used together",
        ),
        (["run"], 2, "pass a flow as FLOW"),
        (["run", HELLO, "--flow", HELLO], 2, "pass only one flow"),
        (["run", HELLO, "--no-such-option"], 2, "no such option"),
        (["run", HELLO, "--example", "greets the world", "--url", "ftp://server"], 2, "is not an http or https URL"),
        (["run", HELLO, "--example", "greets the world", "--timeout", "0"], 2, "timeout"),
        (["run", HELLO, "--example", "greets the world", "--config", "missing.yml"], 2, "missing.yml"),
        (["run", "refused.yaml"], 3, "refused.yaml:1:55: fatal: step 'a' refers to step 'b', which does not exist"),
        (["run", "refused.yaml", "--no-check"], 3, "the server rejected the flow"),
        (
            ["run", HELLO, "--example", "greets the world", "--url", "http://127.0.0.1:9"],
            4,
            "http://127.0.0.1:9 cannot be reached",
        ),
        (["nonsense"], 2, "unknown command stepflow nonsense"),
    ],
)
def test_invalid_arguments(
    args: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("a: [1")
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00")
    Path("list.yaml").write_text("[1]")
    Path("refused.yaml").write_text("steps: [{id: a, component: /builtin/x, input: {$step: b}}]\n")
    done = stepflow(*args)
    assert (done.code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_server_binary_is_reported() -> None:
    done = stepflow("run", HELLO, "--example", "greets the world", STEPFLOW_SERVER_BINARY="/no/such/binary")
    assert (done.code, done.stdout) == (2, "")
    assert "/no/such/binary" in done.stderr


def test_timeout_does_not_stop_the_run(tmp_path: Path, server_url: str) -> None:
    flow = tmp_path / "slow.yaml"
    flow.write_text("steps: [{id: a, component: /builtin/sleep, input: {duration_ms: 3000}}]\noutput: {$step: a}\n")
    done = stepflow("run", str(flow), "--timeout", "1.2", "--url", server_url)
    assert (done.code, done.stdout) == (5, "")
    assert "has not ended yet" in done.stderr


def runs_on(server: psutil.Process) -> list[Any]:
    """Return the runs of a server, or [] if it is not ready yet."""
    ports = [each.laddr.port for each in server.net_connections() if each.status == psutil.CONN_LISTEN]
    for port in ports:
        with suppress(StepflowClientError), SyncStepflowClient(f"http://127.0.0.1:{port}", retry=0) as client:
            return list(client.list_runs().runs)
    return []


def test_killed_embedded_server_ends_the_command(tmp_path: Path) -> None:
    flow = tmp_path / "slow.yaml"
    flow.write_text("steps: [{id: a, component: /builtin/sleep, input: {duration_ms: 60000}}]\noutput: {$step: a}\n")
    with subprocess.Popen(
        [STEPFLOW, "run", flow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        servers: list[psutil.Process] = []
        deadline = time.monotonic() + 60
        while not servers and time.monotonic() < deadline:
            time.sleep(0.1)
            servers = [each for each in psutil.Process(command.pid).children() if each.name() == "stepflow-server"]
        assert len(servers) == 1
        while not runs_on(servers[0]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        servers[0].kill()
        stdout, stderr = command.communicate(timeout=60)
    assert (command.returncode, stdout) == (4, "")
    assert stderr == "stepflow: the embedded server exited unexpectedly (exit code -9)\n"


def test_closed_output_pipe_is_no_error(flow: Path, server_url: str) -> None:
    large = json.dumps(list(range(50_000)))
    (flow.parent / "input.json").write_text(large)
    command = f"'{STEPFLOW}' run '{flow}' --input '{flow.parent / 'input.json'}' --url {server_url} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_help_and_version() -> None:
    for args in (["--help"], ["-h"], ["run", "--help"]):
        done = stepflow(*args)
        assert (done.code, done.stderr) == (0, "")
        assert "Usage: stepflow" in done.stdout
    assert "Exit codes" in stepflow("--help").stdout
    assert stepflow("--version").stdout == f"stepflow {(ROOT / 'VERSION').read_text().strip()}\n"


@pytest.mark.usefixtures("server")
def test_output_keys_have_a_stable_order(stepflow: Stepflow) -> None:
    value = {"zebra": 1, "apple": {"z": 1, "a": [{"d": 1, "c": 2}]}, "mango": 3, "kiwi": 4}
    output = {"second": {"$input": "$.apple"}, "first": {"$input": "$.zebra"}}
    (stepflow.folder / "written.json").write_text(json.dumps({"steps": [], "output": output}))
    input_options = ("--input-json", json.dumps(value))
    ordered = {"second": {"a": [{"c": 2, "d": 1}], "z": 1}, "first": 1}
    texts = {stepflow("run", "written.json", *input_options).stdout for _ in range(4)}
    assert [list(json.loads(text).items()) for text in texts] == [list(ordered.items())]
    texts = {stepflow("run", "echo.yaml", *input_options).stdout for _ in range(4)}
    assert [list(json.loads(text)) for text in texts] == [sorted(value)]


def test_idempotency_key_has_one_run(flow: Path, server_url: str) -> None:
    key = f"doc-{time.time_ns()}"

    def submit(value: str, *more: str) -> CommandResult:
        return stepflow("submit", str(flow), "--input-json", value, "--url", server_url, *more)

    run_ids = [submit("7", "--idempotency-key", key, "--detach").stdout for _ in range(2)]
    assert run_ids[0] == run_ids[1] != ""
    done = submit("7", "--idempotency-key", key)
    assert (done.code, json.loads(done.stdout)) == (0, 7), done.stderr
    refused = submit("8", "--idempotency-key", key)
    assert refused.code == 2
    assert f"run {run_ids[0].strip()} already exists for the idempotency key '{key}'" in refused.stderr.replace(
        "\n", " "
    )
    assert f"different call, or 'stepflow runs get {run_ids[0].strip()}' to see the existing run\n" in refused.stderr
    assert "\nserver " in refused.stderr
    assert submit("8", "--idempotency-key", "").code == 2
    # The labels and the note of each call are recorded, also if the run existed.
    submit("7", "--idempotency-key", key, "--detach", "--label", "again=yes", "--note", "seen")
    recorded = json.loads(stepflow("history", "show", run_ids[0].strip(), "-o", "json").stdout)
    assert (recorded["labels"], recorded["note"]) == ({"again": "yes"}, "seen")


def test_idempotency_key_with_a_scope_applies_to_changed_flows(stepflow: Stepflow, server: str) -> None:
    keyed = ("--idempotency-key", "k", "--idempotency-scope", f"scope-{time.time_ns()}", "--wait-for-components")

    def submit(version: int, *more: str) -> CommandResult:
        text = json.dumps({"steps": [], "output": {"version": version, "n": {"$input": "$"}}})
        (stepflow.folder / "versions.json").write_text(text)
        return stepflow("submit", "versions.json", "--input-json", "7", *more)

    first = submit(1, *keyed)
    assert json.loads(first.stdout) == {"version": 1, "n": 7}, first.stderr
    assert first.stderr == ""
    again = submit(2, *keyed)
    assert json.loads(again.stdout) == {"version": 1, "n": 7}
    message = r"stepflow: run [0-9a-f-]{36} has this idempotency key, but ran another version of the flow: [0-9a-f]{64}"
    assert re.fullmatch(message, again.stderr.strip()), again.stderr
    assert json.loads(submit(2, *keyed[:2]).stdout)["version"] == 2
    # The reused run is recorded only once.
    recorded = json.loads(stepflow("history", "list", "-o", "json").stdout)
    assert len(recorded) == 2
    alone = submit(2, *keyed[2:])
    assert (alone.code, "--idempotency-scope needs --idempotency-key KEY" in alone.stderr) == (2, True)


def test_idempotency_key_needs_a_flow_file() -> None:
    stored = stepflow("submit", "0" * 64, "--idempotency-key", "k")
    assert (stored.code, "needs the flow's file, not its ID" in stored.stderr) == (2, True)


def test_only_similar_file_names_are_suggested(stepflow: Stepflow) -> None:
    assert "did you mean" not in stepflow("run", "nope.yaml").stderr
    assert "hint: did you mean hello.yaml?" in stepflow("run", "hello.yml").stderr
