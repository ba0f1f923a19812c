"""Runs by the beginning of their id, by several statuses and by how long ago: real runs on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from stepflow_cli.output.tables import shorten_run_ids

from tests.cli.command import Stepflow
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize("words", ["get", "result", "steps", "items", "flow", "watch", "events"])
def test_a_beginning_names_the_run(stepflow: Stepflow, ada: str, words: str) -> None:
    whole, begun = stepflow("runs", words, ada, "-o", "json"), stepflow("runs", words, ada[:-6].upper(), "-o", "json")
    assert (begun.code, begun.stderr) == (0, "")
    assert begun.stdout == whole.stdout


@pytest.mark.parametrize("words", ["cancel", "delete"])
def test_what_is_destroyed_is_named_whole(stepflow: Stepflow, ada: str, words: str) -> None:
    done = stepflow("runs", words, ada[:-6])
    assert done.code == 2
    assert f"refusing to {words} run {ada} without confirmation" in done.stderr


def test_a_beginning_of_several_lists_them(terminal: Callable[..., Terminal], start: Start) -> None:
    ids = start("hello.yaml", [{"name": "a"}]), start("hello.yaml", [{"name": "b"}])
    ran = terminal("runs", "get", ids[0][:6], width=60)
    assert ran.end() == 2
    words = " ".join(ran.screen.split())
    assert words.startswith(f"stepflow: several run IDs begin with {ids[0][:6]} hint: it may be {ids[1]}")


def test_no_run_begins_so(stepflow: Stepflow, ada: str) -> None:
    done = stepflow("runs", "get", "00000000-0001")
    assert (done.code, done.stdout) == (1, "")
    first, server, *hints = done.stderr.splitlines()
    assert first == "stepflow: no run ID begins with 00000000-0001"
    assert server.endswith(" (from STEPFLOW_URL)")
    assert hints[0] == "hint: to see run IDs, run 'stepflow runs list'"


@pytest.mark.parametrize("text", ["abc", "xyzzy", "0123456-", "012345678"])
def test_texts_that_begin_no_run_id_are_refused(stepflow: Stepflow, server: str, text: str) -> None:
    done = stepflow("runs", "get", text)
    assert done.code == 2
    assert f"a run ID must be a UUID, not '{text}'" in done.stderr
    assert "use at least the first four digits" in done.stderr


def test_ids_are_shortened_as_far_as_they_differ() -> None:
    ids = ["01a2b3c4-d5e6-7000-8000-000000000001", "01a2b3c4-d5e7-7000-8000-000000000001"]
    assert list(shorten_run_ids(ids).values()) == ["01a2b3c4-d5e6", "01a2b3c4-d5e7"]
    assert list(shorten_run_ids(ids[:1]).values()) == ["01a2b3c4"]


@pytest.mark.parametrize("more", [[], ["--all"]])
def test_several_statuses(stepflow: Stepflow, ada: str, failed: str, cancelled: str, more: list[str]) -> None:
    done = stepflow("runs", "list", "--status", "FAILED, completed", "-o", "json", "--fields", "run_id,status", *more)
    assert (done.code, done.stderr) == (0, "")
    runs = json.loads(done.stdout)
    assert {ada, failed} <= {run["run_id"] for run in runs}
    assert {run["status"] for run in runs} == {"failed", "completed"}
    assert [run["run_id"] for run in runs] == sorted((run["run_id"] for run in runs), reverse=True)


def test_a_wrong_status_among_several(stepflow: Stepflow) -> None:
    done = stepflow("runs", "list", "--status", "failed,runing")
    assert (done.code, "did you mean running?" in done.stderr) == (2, True)


def test_how_long_ago(stepflow: Stepflow, ada: str) -> None:
    assert ada in stepflow("runs", "ls", "--since", "1h", "-n", "5", "-o", "name").stdout
    assert stepflow("runs", "ls", "--until", "1h", "-o", "name").stdout == ""


def test_quiet(stepflow: Stepflow, ada: str) -> None:
    assert stepflow("validate", "hello.yaml").stderr != ""
    done = stepflow("validate", "hello.yaml", "-q")
    assert (done.code, done.stderr) == (0, "")
    assert "does not exist" in stepflow("-q", "validate", "nothing.yaml").stderr


def test_there_is_more(terminal: Callable[..., Terminal], start: Start) -> None:
    for name in ("a", "b"):
        start("hello.yaml", [{"name": name}])
    ran = terminal("runs", "list", "-n", "1", width=60)
    assert ran.end() == 0
    assert "stepflow: only the newest run is shown; use -n N" in ran.screen
    quiet = terminal("runs", "list", "-qn", "1", width=60)
    assert (quiet.end(), "only the" in quiet.screen) == (0, False)
