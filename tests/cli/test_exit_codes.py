"""Every command exits with the documented code, however a run ends.

The codes of errors come from one function, which is tested here. The commands come from the command line's definition,
so a new command must be listed here. Each command is tried with every outcome; output formats are sampled.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stepflow_cli.errors import ExitCode, convert_to_problem
from stepflow_client import StepflowRuntime, errors

from tests.cli.command import CommandResult, Stepflow
from tests.cli.command_tree import commands, formats
from tests.cli.runs import SLEEPING, UNKNOWN

pytestmark = pytest.mark.in_process

OUTCOMES = ("success", "failed", "cancelled", "timeout")
CODES_OF_RUNS = {"success": 0, "failed": 1, "cancelled": 6, "timeout": 5}
ALWAYS_SUCCESS = dict.fromkeys(OUTCOMES, 0)
"""Commands that print information about a run succeed, however the run ended."""

STARTING = {
    "run": "run FLOW --timeout SECONDS",
    "submit": "submit FLOW --timeout SECONDS",
    "runs rerun": "runs rerun RUN --timeout SECONDS",
}
"""Commands that execute a run and wait for it."""
OF_RUNS = {
    "runs get": ("runs get RUN", ALWAYS_SUCCESS),
    "runs watch": ("runs watch RUN --timeout SECONDS", CODES_OF_RUNS),
    "runs result": ("runs result RUN --timeout SECONDS", CODES_OF_RUNS),
    # It has no time limit, so it would follow an unfinished run forever.
    "runs events": ("runs events RUN", {**ALWAYS_SUCCESS, "timeout": None}),
    "runs items": ("runs items RUN", ALWAYS_SUCCESS),
    "runs steps": ("runs steps RUN", ALWAYS_SUCCESS),
    "runs flow": ("runs flow RUN", ALWAYS_SUCCESS),
    "runs report": ("runs report RUN --output -", ALWAYS_SUCCESS),
}
"""Commands about existing runs, and their exit codes by the outcome of the run."""
OTHERS = {
    "batch": {
        "batch fails.yaml ms.jsonl --no-check": 1,
        "batch hello.yaml missing.jsonl": 2,
        "batch hello.yaml names.jsonl --url http://127.0.0.1:9": 4,
    },
    "validate": {"validate refused.yaml": 3, "validate missing.yaml": 2},
    "infer": {"infer missing.yaml": 2},
    "test": {"test breaks.yaml --url URL": 1, "test missing.yaml": 2},
    # test_eval.py has more cases.
    "eval": {"eval missing.yaml": 2},
    "codegen": {
        "codegen hello.yaml --output -": 0,
        "codegen hello.yaml --check --output no.py": 1,
        "codegen no.yaml": 2,
    },
    "components stubs": {"components stubs --only no": 2},
    "convert": {
        "convert hello.yaml": 0,
        "convert hello.yaml --check --output no.json": 1,
        "convert no.yaml": 2,
        "convert no:flow": 2,
    },
    "visualize": {"visualize missing.yaml --output -": 2},
    "new": {"new hello.yaml": 2, "new other --template no": 2},
    "runs eval": {
        f"runs eval {UNKNOWN} 1": 1,
        'runs eval SUCCESS {"$step":"no-step"}': 2,
    },
    "flows store": {"flows store refused.yaml": 3, "flows store missing.yaml": 2},
    "flows get": {f"flows get {64 * '0'}": 1},
    "flows delete": {f"flows delete {64 * '0'} --yes": 1},
    "blobs put": {"blobs put missing": 2},
    "blobs get": {f"blobs get {64 * '0'}": 1},
    "config get": {"config get no-such": 2},
    "config set": {"config set no-such 1": 2},
    "config unset": {"config unset profiles.b.url": 2},
    "config use": {"config use nobody": 2},
    "components list": {"components list --url http://127.0.0.1:9": 4},
    "components lock": {"components lock -O -": 0, "components lock --check -O no.json": 1},
    "components call": {
        "components call /builtin/no": 1,
        "components call no": 2,
    },
    "list-components": {"list-components --url http://127.0.0.1:9": 4},
    "runs list": {"runs list --url http://127.0.0.1:9": 4},
    "runs diff": {"runs diff SUCCESS SUCCESS": 0, "runs diff SUCCESS FAILED": 1, f"runs diff SUCCESS {UNKNOWN}": 1},
    "runs save": {
        # Runs of this test are not in the history, so their inputs are unknown; test_runs_save.py has more cases.
        "runs save SUCCESS clean.yaml": 2,
        f"runs save {UNKNOWN} clean.yaml": 1,
        "runs save RUNNING clean.yaml": 2,
    },
    "runs cancel": {
        "runs cancel RUNNING SUCCESS --yes": 1,
        f"runs cancel {UNKNOWN} --yes": 1,
    },
    "runs delete": {f"runs delete {UNKNOWN} --yes": 1},
    "history show": {"history show @1": 1},
    "history clear": {"history clear @1 --yes": 1},
    "health": {"health --url http://127.0.0.1:9": 4},
    "doctor": {"doctor --no-run --url http://127.0.0.1:9": 4},
    "completion": {"completion no-shell": 2},
    "mcp config": {
        "mcp config hello.yaml --client nobody": 2,
        "mcp config hello.yaml --client cursor --http 0": 2,
    },
    "help": {"help no-command": 2},
}
"""Failing command lines and their exit codes; test_examples.py runs each command successfully.

If an example may also exit with 1, a line here exits with 0.
"""
SUCCEEDING = ("schema", "flows list", "config list", "history list", "version")
"""Commands without failures of their own."""
ELSEWHERE = {
    "serve": "test_serve.py",
    "ui": "ui",
    "repl": "test_repl.py",
    "runs logs": "test_runs_logs.py",
    "lsp": "lsp",
    "mcp serve": "mcp",
}
"""Commands that run until stopped or need a different server, and the tests of their exit codes."""

FORMATS = {name: formats(command) for name, command in commands()}


BREAKS = """
steps: [{id: a, component: /builtin/noop, input: {$input: "$"}}]
output: {$step: a}
test: {cases: [{name: one, input: 1, output: {outcome: success, result: 2}}]}
"""


def test_every_command_is_listed_once() -> None:
    listed = [*STARTING, *OF_RUNS, *OTHERS, *SUCCEEDING, *ELSEWHERE]
    assert sorted(listed) == sorted(FORMATS)
    for test_path in ELSEWHERE.values():
        assert (Path(__file__).parent / test_path).exists()


CODES = {
    ExitCode.FAILED: "StepflowClientError NotFoundError ServerFaultError RunFailedError OutputTypeError",
    ExitCode.USAGE: "FlowFileNotFoundError InvalidArgumentError IdempotencyConflictError JournalError",
    ExitCode.INVALID_FLOW: "InvalidFlowError",
    ExitCode.NO_SERVER: "ServerConnectionError RequestTimeoutError AuthenticationError ServerStartTimeoutError",
    ExitCode.TIMED_OUT: "RunTimeoutError",
    ExitCode.AMBIGUOUS: "AmbiguousRunError",
}


def test_codes_of_errors() -> None:
    for code, names in CODES.items():
        actual = {name: convert_to_problem(getattr(errors, name)("message")).exit_code for name in names.split()}
        assert actual == dict.fromkeys(names.split(), code)


@pytest.mark.parametrize(
    ("hint", "adapted"),
    [
        (
            "use a new key for a different call, or find_run() to get the existing run",
            "use a new key for a different call",
        ),
        (
            "possibly with a longer timeout=, to get or create the run",
            "possibly with a longer --timeout, to get or create the run",
        ),
        ("to skip checking inputs, use check_input=False", "to skip checking inputs, use --no-check"),
        ("to keep it anyway, set force; to execute it,", "to keep it anyway, use --force; to execute it,"),
    ],
)
def test_hints_name_options_of_the_command(hint: str, adapted: str) -> None:
    assert convert_to_problem(errors.IdempotencyConflictError("message", hint=hint)).hint == adapted


ONE_CODE = {
    "a malformed id": (
        ExitCode.USAGE,
        [
            *(
                f"runs {each} zzz"
                for each in [
                    "get",
                    "watch",
                    "logs",
                    "events",
                    "items",
                    "steps",
                    "flow",
                    "result",
                    "report",
                    "save",
                    "rerun",
                ]
            ),
            *("runs cancel zzz --yes", "runs delete zzz --yes", "runs diff zzz zzz", "runs eval zzz 1"),
            *("history show zzz", "run hello.yaml --reuse zzz", "blobs get zzz"),
            *("flows get zzz", "flows delete zzz --yes"),
        ],
    ),
    "a port in use": (
        ExitCode.NO_SERVER,
        ["serve --port PORT", "ui --no-open --port PORT", "mcp serve hello.yaml --http PORT"],
    ),
    "an invalid configuration": (
        ExitCode.USAGE,
        [
            *("run hello.yaml", "batch hello.yaml ms.jsonl", "validate hello.yaml", "test hello.yaml"),
            *("infer hello.yaml", "eval hello.yaml", "components list"),
        ],
    ),
}
NEED_EXTRAS = (
    *("lsp", "ui --no-open", "run hello.yaml --ui", "mcp serve hello.yaml", "codegen hello.yaml -O -"),
    *("visualize hello.yaml -O hello.svg", "visualize hello.yaml -O hello.png"),
    *("batch hello.yaml names.parquet", "eval hello.yaml"),
)
_WITHOUT_EXTRAS = """
import os, sys
extras = "mcp mcp_types pygls uvicorn starlette datamodel_code_generator pyarrow wasmtime resvg_py numpy"
sys.modules |= dict.fromkeys(extras.split())
from stepflow_cli.main import run_command_line_and_exit
for line in sys.argv[1:]:
    if not os.fork():
        run_command_line_and_exit(line.split())
    print(line, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.mark.parametrize("situation", ONE_CODE)
def test_situations_have_the_same_code_in_every_command(stepflow: Stepflow, situation: str) -> None:
    code, lines = ONE_CODE[situation]
    if situation == "an invalid configuration":
        (stepflow.folder / "stepflow.toml").write_text("config = [\n")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        for line in lines:
            done = stepflow(*_arguments(line, PORT=port))
            assert done.code == code, done
            assert (
                "stepflow.toml is not TOML" in done.stderr
                if "configuration" in situation
                else "\nhint: " in done.stderr
            )


def test_missing_extra_has_the_same_code_in_every_command(stepflow: Stepflow) -> None:
    (stepflow.folder / "names.parquet").write_text("")
    program = [sys.executable, "-c", _WITHOUT_EXTRAS, *NEED_EXTRAS]
    ran = subprocess.run(program, cwd=stepflow.folder, env=stepflow.environment, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [f"{line} {int(ExitCode.USAGE)}" for line in NEED_EXTRAS], ran.stderr
    assert ran.stderr.count("\nhint: ") == len(NEED_EXTRAS)


def test_code_of_ctrl_c() -> None:
    assert convert_to_problem(KeyboardInterrupt()).exit_code == 130


def test_every_code_is_documented() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    table = manual.split("## Exit codes")[1].split("##")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {*map(int, ExitCode)}


def _arguments(line: str, **values: str) -> list[str]:
    return [values.get(word, word) for word in line.split()]


def _check_message(done: CommandResult, outcome: str, form: str = "table") -> None:
    """Check that standard error reports the outcome of the run, unless it succeeded."""
    kind = {"failed": "run_failed", "cancelled": "run_cancelled", "timeout": "run_timeout"}.get(outcome)
    if kind is None:
        # A rerun prints the steps it reuses.
        assert not re.search("^stepflow: run|^{", done.stderr, re.MULTILINE), done
    elif form in ("json", "jsonl"):
        problems = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert [(each["kind"], each["exit_code"]) for each in problems] == [(kind, done.code)], done
    else:
        phrase = {"failed": "failed", "cancelled": "is cancelled", "timeout": "has not ended"}[outcome]
        assert re.search(rf"^stepflow: run [0-9a-f-]+ {phrase}", done.stderr, re.MULTILINE), done


Flows = Callable[[str], str]


@pytest.fixture
def runs(newest_server: StepflowRuntime, stepflow: Stepflow, server: str) -> Flows:
    """A function that returns the ID of a run with an outcome; for `timeout`, the run does not end."""
    client = newest_server.sync_client
    ended = {"success": ("hello.yaml", {"name": "Ada"}), "failed": ("fails.yaml", {"nam": "Ada"})}

    def run(outcome: str) -> str:
        flow, value = ended.get(outcome, (_long(stepflow), None))
        run_id = client.submit(stepflow.folder / flow, [value])
        if outcome == "cancelled":
            client.cancel_run(run_id)
        elif outcome in ended:
            client.wait_run(run_id, timeout=60)
        return run_id

    return run


def _long(stepflow: Stepflow) -> str:
    """Write a flow that takes longer than any test, under a unique name."""
    name = f"long-{uuid.uuid4().hex}"
    flow = {"name": name, "steps": [SLEEPING], "output": {"$step": "sleeping"}}
    (stepflow.folder / name).write_text(json.dumps(flow))
    return name


@contextmanager
def _cancelling(server: StepflowRuntime, name: str, is_enabled: bool) -> Iterator[None]:
    """Cancel the newest running run of a flow as soon as it exists."""
    stopped = threading.Event()

    def cancel() -> None:
        client = server.sync_client
        while not stopped.is_set():
            for run in client.list_runs(limit=50).runs:
                if run.flow_name == name and run.status.value == "running":
                    client.cancel_run(run.run_id)
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=cancel)
    if is_enabled:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        if is_enabled:
            thread.join()


@pytest.mark.parametrize("name", OF_RUNS)
def test_commands_about_a_run(stepflow: Stepflow, runs: Flows, name: str) -> None:
    line, codes = OF_RUNS[name]
    for outcome, code in codes.items():
        if code is None:
            continue
        done = stepflow(*_arguments(line, RUN=runs(outcome), SECONDS="0.3" if outcome == "timeout" else "50"))
        assert (outcome, done.code) == (outcome, code), done
        if codes is CODES_OF_RUNS:
            _check_message(done, outcome)
        else:
            assert done.stderr == "", done


@pytest.mark.parametrize(
    ("form", "outcome"), [*zip(FORMATS["runs result"], (*OUTCOMES[1:], *OUTCOMES[1:]), strict=False)]
)
def test_format_does_not_change_the_code(stepflow: Stepflow, runs: Flows, form: str, outcome: str) -> None:
    seconds = "0.3" if outcome == "timeout" else "50"
    done = stepflow("runs", "result", runs(outcome), "--timeout", seconds, "--format", form)
    assert done.code == CODES_OF_RUNS[outcome], done
    _check_message(done, outcome, form)


@pytest.mark.parametrize("name", STARTING)
def test_commands_that_execute_a_run(
    stepflow: Stepflow, newest_server: StepflowRuntime, runs: Flows, name: str
) -> None:
    ended = {"success": ("hello.yaml", '{"name": "Ada"}'), "failed": ("fails.yaml", '{"nam": "Ada"}')}
    for outcome, code in CODES_OF_RUNS.items():
        flow, value = ended.get(outcome, (_long(stepflow), "null"))
        input_options = ["--input-json", value]
        values = {"FLOW": flow, "SECONDS": "0.5" if outcome == "timeout" else "50"}
        if "RUN" in STARTING[name].split():
            before = newest_server.sync_client.submit(stepflow.folder / flow, [json.loads(value)])
            if outcome in ended:
                newest_server.sync_client.wait_run(before, timeout=60)
            else:
                newest_server.sync_client.cancel_run(before)
            values["RUN"] = before
        with _cancelling(newest_server, flow, outcome == "cancelled"):
            done = stepflow(*_arguments(STARTING[name], **values), *input_options)
        assert (outcome, done.code) == (outcome, code), done
        _check_message(done, outcome)


@pytest.mark.parametrize("name", OTHERS)
def test_other_commands(stepflow: Stepflow, server: str, runs: Flows, name: str) -> None:
    (stepflow.folder / "breaks.yaml").write_text(BREAKS)
    (stepflow.folder / "names.jsonl").write_text('{"name": "Ada"}\n')
    values = {"URL": server}
    all_lines = " ".join(OTHERS[name])
    for word, outcome in (("SUCCESS", "success"), ("FAILED", "failed"), ("RUNNING", "timeout")):
        if word in all_lines:
            values[word] = runs(outcome)
    for line, code in OTHERS[name].items():
        done = stepflow(*_arguments(line, **values))
        assert done.code == code, done
        assert "Traceback" not in done.stderr
