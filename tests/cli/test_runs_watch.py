"""`stepflow runs watch` shows the progress and the end of a run."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal
from tests.fault_proxy import FaultProxy, Script

UNKNOWN = "00000000-0000-4000-8000-000000000000"
CURSOR_HIDDEN, CURSOR_SHOWN = b"\x1b[?25l", b"\x1b[?25h"


def submit(stepflow: Stepflow, flow: str, ms: int, *options: str) -> str:
    """Start a run and return its ID."""
    return run_id_in(stepflow("submit", "--detach", flow, *(options or ("--input-json", json.dumps({"ms": ms})))))


def run_id_in(done: CommandResult) -> str:
    """Return the run ID that a successful command has printed."""
    assert done.code == 0, done
    return done.stdout.strip()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def assert_cursor_is_shown(shown: Terminal) -> None:
    """Check that the last cursor sequence shows the cursor."""
    assert CURSOR_HIDDEN in shown.raw
    assert shown.raw.rindex(CURSOR_SHOWN) > shown.raw.rindex(CURSOR_HIDDEN)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("flow", ["steps.yaml", "unrouted.yaml", "below.yaml"])
def test_lines(flow: str, stepflow: Stepflow, golden: Golden) -> None:
    golden(stepflow("runs", "watch", submit(stepflow, flow, 300)))


@pytest.mark.usefixtures("server")
def test_sub_run(stepflow: Stepflow, golden: Golden) -> None:
    # Servers confuse a sub-run with its parent if a request includes its sub-runs.
    parent = submit(stepflow, "below.yaml", 1)
    stepflow("runs", "watch", "-q", parent)
    (run_id,) = stepflow("runs", "list", "--parent", parent, "-o", "name").stdout.split()
    golden(stepflow("runs", "watch", run_id))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "name"])
def test_formats(form: str, stepflow: Stepflow, golden: Golden) -> None:
    golden(stepflow("runs", "watch", submit(stepflow, "unrouted.yaml", 1), "-o", form))


@pytest.mark.usefixtures("server")
def test_fields(stepflow: Stepflow, golden: Golden) -> None:
    run_id = submit(stepflow, "steps.yaml", 1)
    golden(
        stepflow("runs", "watch", run_id, "--fields", "status,items.total"),
        stepflow("runs", "watch", run_id, "--fields", "type", "-o", "jsonl"),
        stepflow("runs", "watch", run_id, "--fields", "statsu"),
    )


@pytest.mark.usefixtures("server")
def test_batch(stepflow: Stepflow, golden: Golden) -> None:
    run_id = run_id_in(stepflow("batch", "steps.yaml", "ms.jsonl", "--detach", "--max-concurrency", "1"))
    shown = stepflow("runs", "watch", run_id, "-o", "json")
    golden(shown)
    lines = stepflow("runs", "watch", run_id).stdout.splitlines()
    assert lines[0] == f"run {run_id}: running, 3 items"
    assert any(
        re.fullmatch(r"item 2, step prepare: failed in \S+: Input path \$\.ms not found", line) for line in lines
    )
    assert re.fullmatch(rf"run {run_id}: failed in \S+s", lines[-1])


@pytest.mark.usefixtures("server")
def test_ended_runs_on_a_terminal(terminal: Callable[..., Terminal], stepflow: Stepflow, golden: Golden) -> None:
    runs = [submit(stepflow, flow, 1) for flow in ("steps.yaml", "unrouted.yaml", "below.yaml")]
    runs.append(run_id_in(stepflow("batch", "steps.yaml", "ms.jsonl", "--detach")))
    stepflow("runs", "watch", "-q", *runs)
    golden(*(terminal("runs", "watch", run_id) for run_id in runs))


@pytest.mark.usefixtures("server")
def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("runs", "watch"),
        stepflow("runs", "watch", "nonsense"),
        stepflow("runs", "watch", UNKNOWN),
        stepflow("runs", "watch", UNKNOWN, "-o", "json"),
        stepflow("runs", "watch", UNKNOWN, "--timeout", "0"),
        stepflow("runs", "watch", UNKNOWN, "--url", "http://127.0.0.1:9"),
    )


@pytest.mark.usefixtures("server")
def test_timeout_does_not_stop_the_run(stepflow: Stepflow, golden: Golden) -> None:
    run_id = submit(stepflow, "steps.yaml", 60_000)
    golden(
        stepflow("runs", "watch", run_id, "--timeout", "2"),
        stepflow("runs", "watch", run_id, "--timeout", "2", "-o", "json"),
        stepflow("runs", "get", run_id),
    )


@pytest.mark.usefixtures("server")
def test_cancelled_run(stepflow: Stepflow, golden: Golden) -> None:
    run_id = submit(stepflow, "steps.yaml", 20_000)
    stepflow("runs", "cancel", "--yes", run_id)
    golden(
        stepflow("runs", "watch", run_id),
        stepflow("runs", "watch", run_id, "-o", "jsonl", "--fields", "cursor,type,status"),
    )


def test_live_on_a_terminal(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 1500)
    shown = terminal("runs", "watch", run_id)
    shown.wait_for("finish   waiting")
    assert f"run {run_id}\nsteps running" in shown.screen
    assert "prepare  running" in shown.screen
    shown.wait_for("finish   running")
    assert "prepare  completed" in shown.screen
    assert shown.end() == 0
    assert re.search(r"steps completed  3\.\ds", shown.screen)
    assert re.search(r"finish   completed    1\.\ds", shown.screen)
    assert shown.screen.count(run_id) == 1, "pictures are drawn over each other"
    assert_cursor_is_shown(shown)


def test_tree_higher_than_the_terminal(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    steps = [{"id": f"step{n}", "component": "/builtin/noop", "input": {"n": n}} for n in range(30)]
    flow = {"name": "high", "steps": steps, "output": [{"$step": step["id"]} for step in steps]}
    (stepflow.folder / "high.json").write_text(json.dumps(flow))
    shown = terminal("runs", "watch", submit(stepflow, "high.json", 1), height=10)
    assert shown.end() == 0
    assert all(f"step{n} " in shown.raw.decode() for n in range(30))
    assert_cursor_is_shown(shown)


def test_interrupt_detaches(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 2000)
    shown = terminal("runs", "watch", run_id, "--url", server)
    shown.wait_for("prepare  running")
    shown.interrupt()
    assert shown.end() == 130
    assert f"stepflow: interrupted; run {run_id} continues\n" in shown.screen
    assert f"hint: stepflow runs watch {run_id} --url {server}\n" in shown.screen
    assert "Traceback" not in shown.screen
    assert_cursor_is_shown(shown)
    assert stepflow("runs", "watch", run_id).code == 0


def test_interrupt_cancels(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 20_000)
    shown = terminal("runs", "watch", run_id, "--on-interrupt", "cancel")
    shown.wait_for("prepare  running")
    shown.interrupt()
    assert shown.end() == 130
    assert f"stepflow: interrupted; run {run_id} is marked as cancelled\n" in shown.screen
    assert json.loads(stepflow("runs", "get", run_id, "-o", "json").stdout)["status"] == "cancelled"


def test_run_cancelled_by_another_command(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 30_000)
    shown = terminal("runs", "watch", run_id)
    shown.wait_for("prepare  running")
    stepflow("runs", "cancel", "--yes", run_id)
    # The server sends no event, and the step continues for 30 s.
    assert shown.end(10) == 6
    assert "steps cancelled" in shown.screen
    assert f"stepflow: run {run_id} is cancelled\n" in shown.screen


def test_temporary_outage(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 2000)
    with FaultProxy(server) as proxy:
        shown = terminal("runs", "watch", run_id, "--url", proxy.url)
        shown.wait_for("prepare  running")
        number = len(proxy.connections)
        # From here on, connections are closed, until a request for the events has failed.
        proxy.script = lambda number: Script(answer=b"")
        proxy.drop_all()
        wait_until(lambda: any(b"/events" in each.request for each in proxy.connections[number:]))
        proxy.script = lambda number: Script()
        assert shown.end() == 0
        assert "steps completed" in shown.screen


def test_sigterm_restores_the_cursor(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    shown = terminal("runs", "watch", submit(stepflow, "steps.yaml", 20_000))
    shown.wait_for("prepare  running")
    shown.child.kill(signal.SIGTERM)
    assert shown.end() == -signal.SIGTERM
    assert_cursor_is_shown(shown)


def test_dumb_terminal_gets_lines(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 1)
    shown = terminal("runs", "watch", run_id, TERM="dumb")
    assert shown.end() == 0
    assert b"\x1b" not in shown.raw
    assert "step prepare: running\n" in shown.screen


def test_no_color(terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    shown = terminal("runs", "watch", submit(stepflow, "steps.yaml", 1), NO_COLOR="1")
    assert shown.end() == 0
    assert b"\x1b[3" not in shown.raw
    assert "steps completed" in shown.screen


@pytest.mark.usefixtures("server")
def test_closed_output_pipe(stepflow: Stepflow) -> None:
    run_id = submit(stepflow, "steps.yaml", 300)
    done = stepflow.shell(f"stepflow runs watch {run_id} | head -1")
    assert (done.code, done.stdout, done.stderr) == (0, f"run {run_id}: running\n", "")
