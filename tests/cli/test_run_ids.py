"""Runs are found by ID prefix, by several statuses and by age."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from stepflow_cli.output.tables import map_run_ids_to_prefixes

from tests.cli.command import Stepflow
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize("command", ["get", "result", "steps", "items", "flow", "watch", "events"])
def test_id_prefix_refers_to_the_run(stepflow: Stepflow, ada: str, command: str) -> None:
    by_id, by_prefix = (
        stepflow("runs", command, ada, "-o", "json"),
        stepflow("runs", command, ada[:-6].upper(), "-o", "json"),
    )
    assert (by_prefix.code, by_prefix.stderr) == (0, "")
    assert by_prefix.stdout == by_id.stdout


@pytest.mark.parametrize("command", ["cancel", "delete"])
def test_confirmation_shows_the_full_id(stepflow: Stepflow, ada: str, command: str) -> None:
    done = stepflow("runs", command, ada[:-6])
    assert done.code == 2
    assert f"refusing to {command} run {ada} without confirmation" in done.stderr


def test_ambiguous_prefix_lists_the_runs(terminal: Callable[..., Terminal], start: Start) -> None:
    ids = start("hello.yaml", [{"name": "a"}]), start("hello.yaml", [{"name": "b"}])
    ran = terminal("runs", "get", ids[0][:6], width=60)
    assert ran.end() == 2
    text = " ".join(ran.screen.split())
    assert text.startswith(f"stepflow: several run IDs begin with {ids[0][:6]} hint: use one of these: {ids[1]}")


def test_unknown_prefix(stepflow: Stepflow, ada: str) -> None:
    done = stepflow("runs", "get", "00000000-0001")
    assert (done.code, done.stdout) == (1, "")
    first, server, *hints = done.stderr.splitlines()
    assert first == "stepflow: no run ID begins with 00000000-0001"
    assert server.endswith(" (from STEPFLOW_URL)")
    assert hints[0] == "hint: to see run IDs, run 'stepflow runs list'"


@pytest.mark.parametrize("text", ["abc", "xyzzy", "0123456-", "012345678"])
def test_invalid_prefixes_are_refused(stepflow: Stepflow, server: str, text: str) -> None:
    done = stepflow("runs", "get", text)
    assert done.code == 2
    assert f"a run ID must be a UUID, not '{text}'" in done.stderr
    assert "pass at least the first four digits" in done.stderr


def test_ids_are_shortened_to_unique_prefixes() -> None:
    ids = ["01a2b3c4-d5e6-7000-8000-000000000001", "01a2b3c4-d5e7-7000-8000-000000000001"]
    assert list(map_run_ids_to_prefixes(ids).values()) == ["01a2b3c4-d5e6", "01a2b3c4-d5e7"]
    assert list(map_run_ids_to_prefixes(ids[:1]).values()) == ["01a2b3c4"]


@pytest.mark.parametrize("more", [[], ["--all"]])
def test_several_statuses(stepflow: Stepflow, ada: str, failed: str, cancelled: str, more: list[str]) -> None:
    done = stepflow("runs", "list", "--status", "FAILED, completed", "-o", "json", "--fields", "run_id,status", *more)
    assert (done.code, done.stderr) == (0, "")
    runs = json.loads(done.stdout)
    assert {ada, failed} <= {run["run_id"] for run in runs}
    assert {run["status"] for run in runs} == {"failed", "completed"}
    assert [run["run_id"] for run in runs] == sorted((run["run_id"] for run in runs), reverse=True)


def test_invalid_status_among_several(stepflow: Stepflow) -> None:
    done = stepflow("runs", "list", "--status", "failed,runing")
    assert (done.code, "did you mean running?" in done.stderr) == (2, True)


def test_since_and_until_accept_durations(stepflow: Stepflow, ada: str) -> None:
    assert ada in stepflow("runs", "ls", "--since", "1h", "-n", "5", "-o", "name").stdout
    assert stepflow("runs", "ls", "--until", "1h", "-o", "name").stdout == ""


def test_quiet(stepflow: Stepflow, ada: str) -> None:
    assert stepflow("validate", "hello.yaml").stderr != ""
    done = stepflow("validate", "hello.yaml", "-q")
    assert (done.code, done.stderr) == (0, "")
    assert "does not exist" in stepflow("-q", "validate", "nothing.yaml").stderr


def test_note_about_more_runs(terminal: Callable[..., Terminal], start: Start) -> None:
    for name in ("a", "b"):
        start("hello.yaml", [{"name": name}])
    ran = terminal("runs", "list", "-n", "1", width=60)
    assert ran.end() == 0
    assert "stepflow: only the newest run is shown; use -n N" in ran.screen
    quiet = terminal("runs", "list", "-qn", "1", width=60)
    assert (quiet.end(), "only the" in quiet.screen) == (0, False)
