"""Records are printed in every format, with selected fields and as safe tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from stepflow_cli.errors import Problem, find_color_option, wants_json
from stepflow_cli.output import tables
from stepflow_cli.output.colors_and_escaping import escape
from stepflow_cli.output.printing import Output, format_safe_json
from stepflow_cli.output.record_views import Column, View, select_record_fields

VIEW = View(columns=(Column("id", kind="id"), Column("n", kind="number"), Column("at", kind="time")), name="id")
RECORDS: list[dict[str, Any]] = [
    {"id": "a", "n": 5, "at": "2026-01-02T03:04:05Z", "more": {"x": [1]}},
    {"id": "long", "n": 10, "at": None, "more": None},
]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "name"])
def test_formats(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    Output(form).print_records(iter(RECORDS), VIEW)
    text = capsys.readouterr().out
    match form:
        case "json":
            assert json.loads(text) == RECORDS
        case "jsonl":
            assert [json.loads(line) for line in text.splitlines()] == RECORDS
        case "yaml":
            assert yaml.safe_load(text) == RECORDS
        case "name":
            assert text == "a\nlong\n"
        case _:
            lines = text.splitlines()
            assert lines[0] == "ID     N  AT"
            assert lines[1].startswith("a      5  2026-01-0")
            assert lines[2] == "long  10  -"


def test_jsonl_is_printed_immediately(capsys: pytest.CaptureFixture[str]) -> None:
    def records() -> Any:
        yield RECORDS[0]
        assert json.loads(capsys.readouterr().out) == RECORDS[0]
        yield RECORDS[1]

    Output("jsonl").print_records(records(), VIEW, flush=True)
    assert json.loads(capsys.readouterr().out) == RECORDS[1]


def test_no_records_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    for form, text in {"table": "ID  N  AT\n", "json": "[]\n", "jsonl": "", "yaml": "[]\n", "name": ""}.items():
        Output(form).print_records([], VIEW)
        assert capsys.readouterr().out == text


def test_select_fields() -> None:
    assert list(select_record_fields(RECORDS, ["more.x", "id"], VIEW)) == [
        {"more": {"x": [1]}, "id": "a"},
        {"more": {"x": None}, "id": "long"},
    ]
    assert list(select_record_fields([], ["n"], VIEW)) == []
    for unknown in ("no", "more.y", "id.x", ""):
        with pytest.raises(Problem):
            list(select_record_fields(RECORDS[:1], [unknown], VIEW))
    with pytest.raises(Problem, match="unknown field idd") as raised:
        list(select_record_fields([], ["idd"], VIEW))
    assert raised.value.hint == "did you mean id?"


def test_output_file(tmp_path: Any) -> None:
    path = tmp_path / "out.json"
    Output(path=str(path)).print_value({"ä": "\u2028"})
    assert path.read_text(encoding="utf-8") == '{\n  "ä": "\\u2028"\n}\n'
    for invalid in (tmp_path, tmp_path / "no" / "file"):
        with pytest.raises(Problem):
            Output(path=str(invalid)).check_file_writable()


def test_lone_surrogates_are_escaped() -> None:
    assert format_safe_json("\ud800") == '"\\ud800"'
    assert format_safe_json("ä😀") == '"ä😀"'


def test_control_characters_are_escaped() -> None:
    text = tables.format_aligned_text_table([{"id": "\x1b[31mred\r\nnext", "n": 1}], View((Column("id"),)))
    assert text == "ID\n\\x1b[31mred\\r\\nnext\n"
    assert escape("a\u202eb\tc\n") == "a\\u202eb\tc\\n"
    assert "\x1b]" not in tables.format_terminal_table([{"id": "\x1b]0;title\x07"}], View((Column("id"),)), color=False)


def test_local_times() -> None:
    assert tables.format_local_time("yesterday") == "yesterday"
    assert tables.format_local_time("2026-01-02T03:04:05Z").endswith(("ago)", "ahead)"))
    assert tables.format_local_time("2026-01-02T03:04:05Z", relative=False).startswith("2026-01-0")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run x -o json", True),
        ("run x -ojsonl", True),
        ("run x --format json", True),
        ("run x --format=json", True),
        ("run x -o yaml", False),
        ("run x --json", True),
        ("run x -- -o json", False),
        ("run x --output json", False),
        ("", False),
    ],
)
def test_wants_json(line: str, expected: bool) -> None:
    assert wants_json(line.split()) is expected


@pytest.mark.parametrize(
    ("line", "color"),
    [
        ("run x --color never", "never"),
        ("run x --color=always --nosuch", "always"),
        ("nosuch --color never", "never"),
        ("run x --color", "auto"),
        ("run x --color pink", "auto"),
        ("", "auto"),
    ],
)
def test_color_option_of_an_invalid_command_line(line: str, color: str) -> None:
    assert find_color_option(line.split()) == color


def test_wide_characters_take_two_columns() -> None:
    view = View(columns=(Column("id"), Column("n")))
    records = [{"id": "流れ", "n": 1}, {"id": "flow", "n": 2}, {"id": "e\u0301", "n": 3}]
    assert tables.format_aligned_text_table(records, view) == "ID    N\n流れ  1\nflow  2\ne\u0301     3\n"
