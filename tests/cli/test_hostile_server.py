"""Names, errors, outputs and logs of a hostile server cannot send control sequences to the terminal."""

from __future__ import annotations

import ast
import io
import json
import logging
import random
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_cli.errors import Session
from stepflow_cli.main import run_command_line
from stepflow_client import StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.command_tree import commands as all_commands
from tests.cli.gateway import Gateway
from tests.cli.terminal import Terminal

ATTACKS = (
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2J\x9d0;t\x9c",
    "\u202eevil\u202c",
    "\u2066a\u2069\u200f",
    "\nhint: run rm -rf /",
    "\r\nstepflow: forged",
    "\u2028hint: forged",
    "[red]markup[/red] :smile: [link=http://evil]x[/link]",
    "\x7f\x08\x08\x0b\x0c\x85",
)
RAW = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
RAW += list("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FREE = {"message", "error", "name", "flowName", "flow_name", "description", "component", "output", "reason", "value"}
FREE |= {"errorMessage", "formatted", "text", "stepId", "step_id"}
"""JSON keys whose texts are chosen by a flow, a worker or a server."""


class Attack:
    """Adds an attack to all free texts in responses; if `fails` is set, responds with an error that contains it."""

    def __init__(self) -> None:
        self.text = ATTACKS[0]
        self.fails = False

    def __call__(self, path: str, status: int, content: bytes) -> tuple[int, bytes]:
        if self.fails and "health" not in path:
            return 400, json.dumps({"message": f"no{self.text}", "code": 400, "stack": [self.text]}).encode()
        lines = content.split(b"\n") if b"data:" in content else [content]
        return status, b"\n".join(map(self._attack_line, lines))

    def _attack_line(self, line: bytes) -> bytes:
        """Add the attack to a JSON text or to the data of an event."""
        before, text = (b"data: ", line[5:]) if line.startswith(b"data:") else (b"", line)
        try:
            return before + json.dumps(self._attack_value(json.loads(text))).encode()
        except ValueError:
            return line

    def _attack_value(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._attack_value(each, name) for name, each in value.items()} | (
                {f"k{self.text}": self.text} if key == "output" else {}
            )
        if isinstance(value, list):
            return [self._attack_value(each, key) for each in value]
        return f"{value}{self.text}" if isinstance(value, str) and key in FREE else value


class Screen(io.TextIOWrapper):
    """A standard stream that records its output and may claim to be a terminal."""

    def __init__(self, on_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
        self._on_terminal = on_terminal

    def isatty(self) -> bool:
        return self._on_terminal

    @property
    def text(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()


@pytest.fixture
def attack() -> Attack:
    return Attack()


@pytest.fixture
def hostile(attack: Attack, newest_server: StepflowRuntime) -> Iterator[str]:
    """The URL of a hostile server."""
    with Gateway(newest_server.url, attack) as gateway:
        yield gateway.url


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, hostile: str) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process, and return its exit code, output and errors."""

    def run(args: list[str], *, on_terminal: bool) -> tuple[int, str, str]:
        out, err = Screen(on_terminal), Screen(on_terminal)
        root = logging.getLogger("stepflow")
        handlers, level = list(root.handlers), root.level
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setenv("STEPFLOW_URL", hostile)
            patch.setenv("NO_COLOR", "1")
            patch.setenv("TERM", "xterm")
            code = run_command_line(args, Session(json_errors="json" in args))
        root.handlers, _ = handlers, root.setLevel(level)
        return code, out.text, err.text

    return run


def find_attacks(text: str) -> list[str]:
    """Return the control characters and forged message lines in a text."""
    controls = [repr(char) for char in RAW if char in text]
    forged = [line for line in text.split("\n") if line.startswith(("hint: run rm", "stepflow: forged"))]
    return controls + forged


SILENT = {
    *("config list", "config get", "config set", "config unset", "config use", "schema", "completion", "help"),
    *("version", "history clear", "flows delete", "runs delete", "blobs put", "new", "mcp config"),
}
"""Commands that print no text chosen by a server, a flow or a worker."""
ELSEWHERE = {"serve", "ui", "repl", "test", "runs logs", "lsp", "mcp serve"}
"""Commands that run until stopped, or start servers. Their output is tested in `test_serve.py`, `ui/`, `test_repl.py`,
`test_test.py`, `test_runs_logs.py`, `lsp/` and `mcp/`."""


def hostile_flow() -> dict[str, Any]:
    """Return a flow whose names, descriptions, defaults and schemas attack terminals and generated source code."""
    text = "".join(ATTACKS)
    schema = {
        "type": "object",
        "title": text,
        "description": f'{text}\n"""\nimport os',
        "properties": {
            text: {"type": "string", "description": text, "default": text},
            "name": {"enum": [text, "x"], "description": text},
            "nested": {"type": "object", "description": text, "properties": {text: {"const": text}}},
        },
    }
    return {
        "name": text,
        "description": text,
        "schemas": {"type": "object", "properties": {"input": schema, "output": schema}},
        "steps": [{"id": text, "component": "/builtin/noop", "input": {text: {"$input": "$"}}}],
        "output": {"$step": text},
    }


def offline_commands(run_id: str, failed: str, hostile: str) -> Iterator[list[str]]:
    """Yield command lines that print texts from flow files or write documents."""
    for form in ("table", "json", "jsonl", "yaml", "name"):
        yield ["infer", hostile, "--offline", "-o", form]
        yield ["validate", hostile, "--offline", "-o", form]
        for arguments in (
            ["runs", "diff", run_id, failed],
            ["runs", "watch", "-q", failed],
            ["runs", "cancel", failed],
        ):
            yield [*arguments, *(["--yes"] if arguments[1] == "cancel" else []), "-o", form]
        yield ["runs", "rerun", failed, "-o", form]
        yield ["runs", "eval", run_id, '{"$input": "$"}', "-o", form]
        yield ["flows", "list", "-o", form]
        for arguments in (["list"], ["list", "e"], ["show", "@1"]):
            yield ["history", *arguments, "-o", form]
    for form in ("sarif", "github"):
        yield ["validate", hostile, "--offline", "-o", form]
    for form in ("svg", "html", "dot", "mermaid"):
        yield ["visualize", hostile, "--format", form, "--output", "-"]
    yield ["codegen", hostile, "--output", "-"]
    for form in ("yaml", "json", "python"):
        yield ["convert", hostile, "--to", form]
    for each in (run_id, failed):
        yield ["runs", "report", each, "--output", "-"]
        yield ["runs", "save", each, hostile, "--dry-run"]


def commands(run_id: str, failed: str, flow_id: str, blob: str, flow: str) -> Iterator[list[str]]:
    """Yield command lines that print texts from a server."""
    for form in ("table", "json", "jsonl", "yaml", "name"):
        for arguments in (
            *(["runs", "get", run_id], ["runs", "list", "--limit", "3"], ["runs", "steps", failed]),
            *(["runs", "items", failed], ["runs", "result", run_id], ["runs", "result", failed]),
            *(["runs", "events", run_id], ["health"]),
            *(
                ["list-components"],
                ["components", "list"],
                ["validate", flow],
                ["blobs", "get", blob],
                ["doctor", "--no-run"],
            ),
            *(["run", flow, "--url", "URL", "--input-json", '{"name": "x"}'], ["submit", flow]),
            ["batch", flow, flow.replace("fails.yaml", "ms.jsonl"), "--url", "URL"],
            # hello.yaml has a test case, whose output is printed as the worst one.
            ["eval", flow.replace("fails", "hello"), "--url", "URL", "--score", "regex::x", "--worst", "1"],
            *(["flows", "store", flow], ["flows", "get", flow_id, "--variables"]),
        ):
            yield [*arguments, "-o", form]
        yield ["components", "call", "/builtin/noop", "--url", "URL", "--input-json", '"x"', "-o", form]
    yield ["components", "lock", "-O", "-"]
    yield ["components", "stubs", "--only", "*", "--url", "URL"]
    yield ["runs", "watch", failed]
    yield ["runs", "watch", failed, "-o", "jsonl"]
    for form in ("json", "yaml"):
        yield ["flows", "get", flow_id, "-o", form]
        yield ["runs", "flow", run_id, "-o", form]


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_a_thousand_outputs_contain_no_attack(
    run_command: Callable[..., tuple[int, str, str]],
    attack: Attack,
    hostile: str,
    newest_server: StepflowRuntime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPFLOW_CONFIG_FILE", str(tmp_path / "none.toml"))
    client = newest_server.sync_client
    flows = Path(__file__).parent / "flows"
    run_id = client.submit(flows / "hello.yaml", [{"name": "".join(ATTACKS)}])
    failed = client.submit(flows / "fails.yaml", [{"nam": "".join(ATTACKS)}])
    for each in (run_id, failed):
        client.wait_run(each, timeout=60)
    blob = client.store_blob({"".join(ATTACKS): list(ATTACKS)}).blob_id
    flow_id = client.store_flow(flows / "hello.yaml").flow_id
    hostile_file = tmp_path / "hostile.json"
    hostile_file.write_text(json.dumps(hostile_flow()))
    lines = list(commands(run_id, failed, flow_id, blob, str(flows / "fails.yaml")))
    lines += offline_commands(run_id, failed, str(hostile_file))
    tried = {name for name, _ in all_commands() for args in lines if args[: len(name.split())] == name.split()}
    assert tried | SILENT | ELSEWHERE == {name for name, _ in all_commands()}
    rng = random.Random(1)
    outputs = 0
    for on_terminal, verbose, fails in product((True, False), ([], ["-vv"]), (False, True)):
        for args in lines:
            if args[0] == "doctor" and (verbose or fails):
                continue  # it starts a server of its own each time
            attack.text, attack.fails = "".join(rng.sample(ATTACKS, 3)), fails
            arguments = [hostile if word == "URL" else word for word in args] + verbose
            code, out, err = run_command(arguments, on_terminal=on_terminal)
            outputs += 2
            assert not find_attacks(_without_own_sequences(out)), (arguments, code, out)
            assert not find_attacks(_without_own_sequences(err)), (arguments, code, err)
            if args[-1] == "json" and out:
                json.loads(out)
            if args[-1] == "yaml" and out:
                yaml.safe_load(out)
    assert outputs >= 1000


def _without_own_sequences(text: str) -> str:
    """Remove the sequences that the command itself uses for drawing and for the cursor."""
    for own in ("\x1b[?2026h", "\x1b[?2026l", "\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\r"):
        text = text.replace(own, "")
    return text


def test_source_generated_from_a_hostile_flow_is_harmless(
    run_command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """All texts are escaped string literals, so they cannot hide code from a reader."""
    flow = tmp_path / "hostile.json"
    flow.write_text(json.dumps(hostile_flow()))
    code, source, err = run_command(["codegen", str(flow), "--output", "-"], on_terminal=False)
    assert (code, err) == (0, "")
    assert not find_attacks(source)
    module = ast.parse(source)
    texts = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert "".join(ATTACKS) in texts
    assert any("\x1b[2J" in text and "import os" in text for text in texts), "the description of the class"
    assert not any(isinstance(node, ast.Import) for node in ast.walk(module))


def test_report_shows_replacements(
    run_command: Callable[..., tuple[int, str, str]], newest_server: StepflowRuntime, attack: Attack
) -> None:
    client = newest_server.sync_client
    flow = {"steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}], "output": {"$step": "a"}}
    run_id = client.submit(flow, {"".join(ATTACKS): ATTACKS, "plain": "ä 中 <b>"})
    client.wait_run(run_id, timeout=60)
    attack.text = "".join(ATTACKS)
    code, page, _ = run_command(["runs", "report", run_id, "--output", "-"], on_terminal=True)
    assert code == 0
    assert not find_attacks(page)
    assert "·evil·" in page
    assert "ä 中 &lt;b&gt;" in page


def test_escaped_data_has_the_same_value(
    run_command: Callable[..., tuple[int, str, str]], newest_server: StepflowRuntime
) -> None:
    value = {"".join(ATTACKS): list(ATTACKS), "plain": "ä😀 multi\nline"}
    blob = newest_server.sync_client.store_blob(value).blob_id
    for on_terminal in (True, False):
        _, text, _ = run_command(["blobs", "get", blob, "--url", newest_server.url], on_terminal=on_terminal)
        assert json.loads(text) == value
        arguments = ["blobs", "get", blob, "--url", newest_server.url, "-o", "yaml"]
        _, text, _ = run_command(arguments, on_terminal=on_terminal)
        assert yaml.safe_load(text)["data"] == value


def test_terminal_shows_no_forged_line(
    hostile: str, attack: Attack, stepflow: Stepflow, terminal: Callable[..., Terminal]
) -> None:
    attack.text = "\x1b[2J\nhint: run rm -rf /"
    done = terminal("run", "fails.yaml", "--url", hostile, "--input-json", "{}", width=60, NO_COLOR="1")
    assert done.end() == 1
    assert b"\x1b[2J" not in done.raw
    assert not [line for line in done.screen.splitlines() if line.startswith("hint: run rm")], done.screen
    assert "\\x1b[2J\\nhint: run" in done.screen.replace("\n", "")
