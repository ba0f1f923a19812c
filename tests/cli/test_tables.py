"""On a terminal, each record is one table row, and run IDs stay distinguishable."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable

import pytest
from stepflow_cli.output.record_views import Column, View, format_json_cell
from stepflow_cli.output.tables import format_terminal_table, get_display_width, truncate_to_width

from tests.cli.command import Stepflow
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

LONG = " ".join(["word"] * 400) + "\nand a line more"


@pytest.fixture
def long_run(start: Start) -> str:
    """A run whose output is long."""
    return start("hello.yaml", [{"name": LONG}])


@pytest.mark.parametrize("command", ["steps", "items"])
def test_each_record_is_one_row(terminal: Callable[..., Terminal], long_run: str, command: str) -> None:
    ran = terminal("runs", command, long_run, width=60)
    assert ran.end() == 0
    lines = ran.screen.splitlines()
    assert len(lines) == 2
    assert "…" in lines[1]
    assert max(map(len, lines)) <= 60


def test_wide_option_truncates_nothing(terminal: Callable[..., Terminal], long_run: str, stepflow: Stepflow) -> None:
    ran = terminal("runs", "items", long_run, "--wide", width=60)
    assert ran.end() == 0
    assert LONG.replace("\n", "\\n").encode() in ran.raw
    assert LONG.replace("\n", "\\n") in stepflow("runs", "items", long_run).stdout


def test_ids_on_a_narrow_terminal(terminal: Callable[..., Terminal], start: Start) -> None:
    # The flow has a unique name, because other tests start runs on this server, too.
    flow = {"name": "narrow", "steps": [], "output": {"$input": "$"}}
    ids = [start(flow, [name]) for name in "ab"][::-1]
    listed = ("runs", "list", "--flow-name", "narrow", "-n", "2", "-q")
    ran = terminal(*listed, width=40)
    assert ran.end() == 0
    _, *shown = (line.split()[0] for line in ran.screen.splitlines())
    assert [full_id.startswith(short) for full_id, short in zip(ids, shown, strict=True)] == [True, True]
    assert shown[0] != shown[1]
    assert shown[0] != ids[0]
    wide = terminal(*listed, "--wide", width=60)
    assert wide.end() == 0
    assert all(each.encode() in wide.raw for each in ids)


def test_json_with_fields(stepflow: Stepflow, ada: str) -> None:
    done = stepflow("runs", "items", ada, "--json", "index,error.code")
    assert json.loads(done.stdout) == [{"index": 0, "error": {"code": None}}]
    for line in (("items", ada, "--json", "index"), ("get", "--json", ada)):
        refused = stepflow("runs", *line, "-o", "yaml")
        assert (refused.code, "--json is -o json" in refused.stderr) == (2, True)
    assert stepflow("runs", "get", ada, "--json").stdout == stepflow("runs", "get", ada, "-o", "json").stdout


def test_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View((Column("a"), Column("bc"), Column("id", kind="number")))
    record = {"a": "日本語" * 20, "bc": "x" * 200, "id": 7}
    for width in (20, 40, 60):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = format_terminal_table([record], view, color=False).splitlines()
        assert len(lines) == 2
        assert max(map(get_display_width, lines)) <= width
        assert lines[1].count("…") == 2
        assert lines[1].endswith("7")
    assert (truncate_to_width("日本語", 6), truncate_to_width("日本語", 5), truncate_to_width("abc", 2)) == (
        "日本語",
        "日本…",
        "a…",
    )


def test_wide_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --fields, the column headings are output keys."""
    monkeypatch.setenv("COLUMNS", "16")
    view = View((Column("見出し" * 3, kind="id"), Column("b", kind="id", optional=True)))
    record = {"見出し" * 3: "x", "b": "abcdefghij"}
    assert "abcdefghij" in format_terminal_table([record], view, color=False, wide=True)
    narrow = View((Column("見出し", kind="id"), view.columns[1]))
    assert format_terminal_table([{"見出し": "x", "b": "abcdefghij"}], narrow, color=False).split() == ["見出し", "x"]


def test_cells_are_json_except_for_strings() -> None:
    """Only columns with user data are formatted as JSON."""
    cells = {"Ada": "Ada", "": '""', "  ": '"  "', None: "-", False: "false", 1.5: "1.5"}
    assert [format_json_cell(value) for value in cells] == list(cells.values())
    assert [format_json_cell(value) for value in ([], ["a"], {"ok": True, "no": False})] == [
        *("[]", '["a"]', '{"ok": true, "no": false}')
    ]
    view = View((Column("run_id"),), open_fields=("output",))
    named = view.with_selected_columns(["output", "output.ok", "outputs"]).columns
    assert [column.show for column in named] == [format_json_cell, format_json_cell, None]


def test_only_regular_files_are_replaced(stepflow: Stepflow) -> None:
    device = stepflow.folder / "device"
    device.symlink_to("/dev/null")
    done = stepflow("config", "set", "profiles.a.url", "http://a", STEPFLOW_CONFIG_FILE=str(device))
    assert (done.code, done.stdout) == (2, "")
    assert "is not a regular file" in done.stderr
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert device.is_symlink()
