"""Every help page has examples at the top, and all examples work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from stepflow_cli.main import cli
from stepflow_cli.params.help_examples import EXAMPLES
from stepflow_client import StepflowRuntime

from scripts.write_cli_page import WIDTH, walk
from tests import releases
from tests.cli.command import Stepflow, fork_environment
from tests.cli.golden import Golden
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

PAGES = {path.removeprefix("stepflow").strip(): context for path, context in walk("stepflow", cli)}
FLOWS = Path(__file__).parent / "flows"
CODES = {"runs diff": (0, 1), "codegen": (0, 1), "components lock": (0, 1), "convert": (0, 1)}
"""Exit codes of examples that may be other than 0."""


def test_every_page_has_a_few_examples_for_narrow_terminals() -> None:
    missing = sorted(set(EXAMPLES) ^ set(PAGES))
    assert not missing, f"add two to five lines to params/help_examples.py, or remove a lost command's: {missing}"
    for lines in EXAMPLES.values():
        assert 2 <= len(lines) <= 5
        assert max(map(len, lines)) <= 56


def test_pages_start_with_examples() -> None:
    for page, context in PAGES.items():
        text = context.get_help()
        assert max(map(len, text.splitlines())) <= WIDTH
        first, rest = text.split("\n\n", 1)
        assert first.startswith(f"Usage: stepflow {page}".rstrip())
        shown = "".join(f"  {line}\n" for line in EXAMPLES[page])
        assert rest.startswith(f"Examples:\n{shown}\n"), page


@pytest.fixture(scope="module")
def ids(newest_server: StepflowRuntime) -> dict[str, str]:
    """IDs of the runs, flow and blob that the examples use. No example changes them."""
    client = newest_server.sync_client
    flow = FLOWS / "hello.yaml"
    run, other = (client.run(flow, {"name": name}).run_id for name in ("Ada", "Grace"))
    flow_id, blob_id = client.store_flow(flow).flow_id, client.store_blob({"a": 1}).blob_id
    return {"RUN": run, "OTHER": other, "FLOW_ID": flow_id, "BLOB_ID": blob_id}


@pytest.fixture
def prepared(stepflow: Stepflow, server: str, ids: dict[str, str]) -> Stepflow:
    """A folder and a server with everything that the examples use."""
    folder = stepflow.folder
    (folder / "names.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    (folder / "names.csv").write_text("name\nAda\nGrace\n")
    (folder / "name.json").write_text('{"name": "Ada"}')
    (folder / "picture.png").write_bytes(b"\x89PNG\x00\xff")
    (folder / "stepflow-config.yml").write_text(json.dumps(releases.builtin_config(releases.NEWEST)))
    (folder / "hello.py").write_text("hello = {'name': 'hello', 'output': 1}\n")
    (folder / "flows").mkdir()
    shutil.copy(folder / "hello.yaml", folder / "flows")
    profile = stepflow.home / ".config" / "stepflow" / "config.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text('current = "dev"\n[profiles.dev]\nurl = "http://dev:7837"\ntimeout = 5\n')
    # A log file as left by a server of this user; the test server was started by another program.
    logs = Path(stepflow.environment["XDG_STATE_HOME"]) / "stepflow" / "logs"
    logs.mkdir(parents=True)
    line = {"time": "2026-11-25T00:00:00Z", "level": "warn", "target": "", "message": f"slow: run_id={ids['RUN']}"}
    (logs / "a.jsonl").write_text(json.dumps(line) + "\n")
    stepflow.environment |= ids
    return stepflow


def adapt_example(line: str, stepflow: Stepflow) -> str:
    """Replace the IDs and the server URL in an example by those of this test."""
    line = line.replace("01a2b3c4", stepflow.environment["RUN"]).replace("01a2d5e6", stepflow.environment["OTHER"])
    line = line.replace("http://localhost:7837", stepflow.environment["STEPFLOW_URL"])
    if re.search(r"\b(delete|cancel|clear)\b(?!.*--yes)", line):
        # Without a terminal, the command cannot ask for confirmation.
        line += " --yes"
    return line


SERVERS = ("stepflow serve", "stepflow ui")
RUNNABLE = {page: [line for line in lines if not line.startswith(SERVERS)] for page, lines in EXAMPLES.items()}


@pytest.mark.parametrize("page", [page for page, lines in RUNNABLE.items() if lines])
def test_examples_work(page: str, prepared: Stepflow, start: Start, long: Start) -> None:
    """The examples of a page run one after another, in one folder."""
    for line in RUNNABLE[page]:
        if page == "runs cancel":
            prepared.environment |= {"RUN": long(), "OTHER": long()}
        if page == "runs delete":
            prepared.environment |= {each: start("hello.yaml", [{"name": each}]) for each in ("RUN", "OTHER")}
        if page.startswith(("history", "runs eval", "runs rerun", "runs save")):
            prepared("run", "hello.yaml", "--input-json", '{"name": "ada"}')
        run_example(page, line, prepared)


def run_example(page: str, line: str, prepared: Stepflow) -> None:
    environment = {"STEPFLOW_URL": "", "STEPFLOW_PROFILE": ""} if line.startswith("stepflow config") else {}
    command = adapt_example(line, prepared)
    # A line without shell syntax needs no shell, which would start a new Python process.
    expanded = re.sub(r"\$([A-Z_]+)", lambda variable: prepared.environment[variable[1]], command)
    arguments = shlex.split(expanded)
    if arguments[0] == "stepflow" and not re.search(r"[|<>$*&;]", expanded):
        done = prepared(*arguments[1:], **environment)
    else:
        done = prepared.shell(command, **environment)
    assert done.code in CODES.get(page, (0,)), done
    assert "Traceback" not in done.stderr


SERVER_EXAMPLES = sorted({line for lines in EXAMPLES.values() for line in lines if line.startswith(SERVERS)})


@pytest.mark.parametrize("line", SERVER_EXAMPLES)
def test_server_examples_work(line: str, prepared: Stepflow) -> None:
    # The default port may be in use on this machine.
    command = re.sub(r"--port \d+", "", line) + " --port 0" + (" --no-open" if line.startswith("stepflow ui") else "")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=prepared.folder,
        env={**prepared.environment, **fork_environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith(("The server listens on http://127.0.0.1:", "Serving pages for "))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("page", ["runs", "blobs get", "completion"])
def test_on_a_terminal(page: str, terminal: Callable[..., Terminal], golden: Golden) -> None:
    golden(terminal(*page.split(), "--help", width=100))
