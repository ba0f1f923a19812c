"""The exit code of every command is the documented one, for every end of a run.

One function chooses the code of an error; its table is tested here. The commands come from the command line's own
definition, so that a new one must be listed here. Each is tried with every end; output formats are sampled.
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

ENDS = ("success", "failed", "cancelled", "timeout")
AS_THE_RUN = {"success": 0, "failed": 1, "cancelled": 6, "timeout": 5}
AS_THE_REQUEST = dict.fromkeys(ENDS, 0)
"""Commands that print what is known of a run succeed, however the run ended."""

STARTING = {
    "run": "run FLOW --timeout SECONDS",
    "submit": "submit FLOW --timeout SECONDS",
    "runs rerun": "runs rerun RUN --timeout SECONDS",
}
"""Commands that execute a run and wait for it."""
OF_RUNS = {
    "runs get": ("runs get RUN", AS_THE_REQUEST),
    "runs watch": ("runs watch RUN --timeout SECONDS", AS_THE_RUN),
    "runs result": ("runs result RUN --timeout SECONDS", AS_THE_RUN),
    # It has no time limit: the events of a run that does not end do not end.
    "runs events": ("runs events RUN", {**AS_THE_REQUEST, "timeout": None}),
    "runs items": ("runs items RUN", AS_THE_REQUEST),
    "runs steps": ("runs steps RUN", AS_THE_REQUEST),
    "runs flow": ("runs flow RUN", AS_THE_REQUEST),
    "runs report": ("runs report RUN --output -", AS_THE_REQUEST),
}
"""Commands about runs that exist, and their exit codes by the end of the run."""
OTHERS = {
    "batch": {
        "batch fails.yaml ms.jsonl --no-check": 1,
        "batch hello.yaml missing.jsonl": 2,
        "batch hello.yaml names.jsonl --url http://127.0.0.1:9": 4,
    },
    "validate": {"validate refused.yaml": 3, "validate missing.yaml": 2},
    "infer": {"infer missing.yaml": 2},
    "test": {"test breaks.yaml --url URL": 1, "test missing.yaml": 2},
    # test_eval.py has others.
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
        # Runs of this test are not in the history, which has the inputs; test_runs_save.py has others.
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
"""Command lines that fail, and their exit codes; test_examples.py runs each command with success.

Where an example may exit with 1 as well, a line here exits with 0.
"""
SUCCEEDING = ("schema", "flows list", "config list", "history list", "version")
"""Commands that fail only as every command does."""
ELSEWHERE = {
    "serve": "test_serve.py",
    "ui": "ui",
    "repl": "test_repl.py",
    "runs logs": "test_runs_logs.py",
    "lsp": "lsp",
    "mcp serve": "mcp",
}
"""Commands that do not end by themselves or need another server, and the tests of their exit codes."""

FORMATS = {name: formats(command) for name, command in commands()}


BREAKS = """
steps: [{id: a, component: /builtin/noop, input: {$input: "$"}}]
output: {$step: a}
test: {cases: [{name: one, input: 1, output: {outcome: success, result: 2}}]}
"""


def test_every_command_is_listed_once() -> None:
    listed = [*STARTING, *OF_RUNS, *OTHERS, *SUCCEEDING, *ELSEWHERE]
    assert sorted(listed) == sorted(FORMATS)
    for where in ELSEWHERE.values():
        assert (Path(__file__).parent / where).exists()


CODES = {
    ExitCode.FAILED: "StepflowClientError NotFoundError ServerFaultError RunFailedError OutputTypeError",
    ExitCode.USAGE: "FlowFileNotFoundError InvalidArgumentError IdempotencyConflictError JournalError",
    ExitCode.INVALID_FLOW: "InvalidFlowError",
    ExitCode.NO_SERVER: "ServerConnectionError RequestTimeoutError AuthenticationError ServerStartTimeoutError",
    ExitCode.TIMED_OUT: "RunTimeoutError",
    ExitCode.AMBIGUOUS: "AmbiguousRunError",
}


def test_the_code_of_an_error() -> None:
    for code, names in CODES.items():
        found = {name: convert_to_problem(getattr(errors, name)("message")).exit_code for name in names.split()}
        assert found == dict.fromkeys(names.split(), code)


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
def test_a_situation_has_one_code_in_every_command(stepflow: Stepflow, situation: str) -> None:
    code, lines = ONE_CODE[situation]
    if situation == "an invalid configuration":
        (stepflow.folder / "stepflow.toml").write_text("config = [\n")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        for line in lines:
            done = stepflow(*_words(line, PORT=port))
            assert done.code == code, done
            assert (
                "stepflow.toml is not TOML" in done.stderr
                if "configuration" in situation
                else "\nhint: " in done.stderr
            )


def test_a_missing_extra_has_one_code_in_every_command(stepflow: Stepflow) -> None:
    (stepflow.folder / "names.parquet").write_text("")
    program = [sys.executable, "-c", _WITHOUT_EXTRAS, *NEED_EXTRAS]
    ran = subprocess.run(program, cwd=stepflow.folder, env=stepflow.environment, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [f"{line} {int(ExitCode.USAGE)}" for line in NEED_EXTRAS], ran.stderr
    assert ran.stderr.count("\nhint: ") == len(NEED_EXTRAS)


def test_the_code_of_ctrl_c() -> None:
    assert convert_to_problem(KeyboardInterrupt()).exit_code == 130


def test_every_code_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    table = manual.split("## Exit codes")[1].split("##")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {*map(int, ExitCode)}


def _words(line: str, **values: str) -> list[str]:
    return [values.get(word, word) for word in line.split()]


def _check_message(done: CommandResult, end: str, form: str = "table") -> None:
    """Check that standard error says how the run ended, if that is not success."""
    kind = {"failed": "run_failed", "cancelled": "run_cancelled", "timeout": "run_timeout"}.get(end)
    if kind is None:
        # A rerun says what it keeps.
        assert not re.search("^stepflow: run|^{", done.stderr, re.MULTILINE), done
    elif form in ("json", "jsonl"):
        problems = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert [(each["kind"], each["exit_code"]) for each in problems] == [(kind, done.code)], done
    else:
        words = {"failed": "failed", "cancelled": "is cancelled", "timeout": "has not ended"}[end]
        assert re.search(rf"^stepflow: run [0-9a-f-]+ {words}", done.stderr, re.MULTILINE), done


Flows = Callable[[str], str]


@pytest.fixture
def runs(newest_server: StepflowRuntime, stepflow: Stepflow, server: str) -> Flows:
    """Returns the id of a run with this end; a run that does not end, for `timeout`."""
    client = newest_server.sync_client
    known = {"success": ("hello.yaml", {"name": "Ada"}), "failed": ("fails.yaml", {"nam": "Ada"})}

    def run(end: str) -> str:
        flow, value = known.get(end, (_long(stepflow), None))
        run_id = client.submit(stepflow.folder / flow, [value])
        if end == "cancelled":
            client.cancel_run(run_id)
        elif end in known:
            client.wait_run(run_id, timeout=60)
        return run_id

    return run


def _long(stepflow: Stepflow) -> str:
    """Write a flow that takes longer than any test, under a name of its own."""
    name = f"long-{uuid.uuid4().hex}"
    flow = {"name": name, "steps": [SLEEPING], "output": {"$step": "sleeping"}}
    (stepflow.folder / name).write_text(json.dumps(flow))
    return name


@contextmanager
def _cancelling(server: StepflowRuntime, name: str, is_wanted: bool) -> Iterator[None]:
    """Cancel the newest run of a flow as soon as there is one that runs."""
    over = threading.Event()

    def cancel() -> None:
        client = server.sync_client
        while not over.is_set():
            for run in client.list_runs(limit=50).runs:
                if run.flow_name == name and run.status.value == "running":
                    client.cancel_run(run.run_id)
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=cancel)
    if is_wanted:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if is_wanted:
            thread.join()


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_command_about_a_run(stepflow: Stepflow, runs: Flows, name: str) -> None:
    line, codes = OF_RUNS[name]
    for end, code in codes.items():
        if code is None:
            continue
        done = stepflow(*_words(line, RUN=runs(end), SECONDS="0.3" if end == "timeout" else "50"))
        assert (end, done.code) == (end, code), done
        if codes is AS_THE_RUN:
            _check_message(done, end)
        else:
            assert done.stderr == "", done


@pytest.mark.parametrize(("form", "end"), [*zip(FORMATS["runs result"], (*ENDS[1:], *ENDS[1:]), strict=False)])
def test_a_format_does_not_change_the_code(stepflow: Stepflow, runs: Flows, form: str, end: str) -> None:
    seconds = "0.3" if end == "timeout" else "50"
    done = stepflow("runs", "result", runs(end), "--timeout", seconds, "--format", form)
    assert done.code == AS_THE_RUN[end], done
    _check_message(done, end, form)


@pytest.mark.parametrize("name", STARTING)
def test_a_command_that_executes_a_run(
    stepflow: Stepflow, newest_server: StepflowRuntime, runs: Flows, name: str
) -> None:
    known = {"success": ("hello.yaml", '{"name": "Ada"}'), "failed": ("fails.yaml", '{"nam": "Ada"}')}
    for end, code in AS_THE_RUN.items():
        flow, value = known.get(end, (_long(stepflow), "null"))
        given = ["--input-json", value]
        values = {"FLOW": flow, "SECONDS": "0.5" if end == "timeout" else "50"}
        if "RUN" in STARTING[name].split():
            before = newest_server.sync_client.submit(stepflow.folder / flow, [json.loads(value)])
            if end in known:
                newest_server.sync_client.wait_run(before, timeout=60)
            else:
                newest_server.sync_client.cancel_run(before)
            values["RUN"] = before
        with _cancelling(newest_server, flow, end == "cancelled"):
            done = stepflow(*_words(STARTING[name], **values), *given)
        assert (end, done.code) == (end, code), done
        _check_message(done, end)


@pytest.mark.parametrize("name", OTHERS)
def test_another_command(stepflow: Stepflow, server: str, runs: Flows, name: str) -> None:
    (stepflow.folder / "breaks.yaml").write_text(BREAKS)
    (stepflow.folder / "names.jsonl").write_text('{"name": "Ada"}\n')
    values = {"URL": server}
    wanted = " ".join(OTHERS[name])
    for word, end in (("SUCCESS", "success"), ("FAILED", "failed"), ("RUNNING", "timeout")):
        if word in wanted:
            values[word] = runs(end)
    for line, code in OTHERS[name].items():
        done = stepflow(*_words(line, **values))
        assert done.code == code, done
        assert "Traceback" not in done.stderr
