"""Flow, input and variable files are read without loss, and errors have a position."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from stepflow_client._checks.checker import check_source
from stepflow_client._data import yaml_format
from stepflow_client._rules.deadlines import deadline_scope
from stepflow_client.errors import FlowFileError
from stepflow_client.flows import reading
from stepflow_client.flows.reading import load_file, load_flow, parse_json, parse_yaml
from stepflow_client.flows.syntax_tree import FlowText, parse_tree

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | FINITE | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
# PyYAML loses these three line breaks of YAML 1.1 when it writes them itself.
WRITABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"), max_size=20)
WRITABLE_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | WRITABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WRITABLE, inner, max_size=4),
)
QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def equal_as_json(one: Any, other: Any) -> bool:
    """Compare as JSON text, in which 1, 1.0 and True differ, as do 0.0 and -0.0."""
    return json.dumps(one) == json.dumps(other)


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing but a comment", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("a:", {"a": None}),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("0", 0),
        ("-0", 0),
        ("17", 17),
        ("9007199254740993", 9007199254740993),
        ("1.0", 1.0),
        ("-0.0", -0.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("-2.5e-3", -0.0025),
        ("+5", 5),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("0o17", 15),
        ("0b101", 5),
        ("18446744073709551615", 2**64 - 1),
        (".7", 0.7),
        ("+.7", 0.7),
        ("5.", 5.0),
        ("-5.e3", -5000.0),
        (".5e-1", 0.05),
        ("+1e3", 1000.0),
        ("00.5", 0.5),
        ("01e3", 1000.0),
        ("'1'", "1"),
        ('"\\x41\\u00e4"', "Aä"),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("- - 1", [[1]]),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!int 0x1F", 31),
        ("!!int 017", 17),
        ("!!float .5", 0.5),
        ("!!float 1", 1.0),
        ("!!bool 'TRUE'", True),
        ("!!null ''", None),
        ("\ufeffa: 1", {"a": 1}),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_yaml_scalars_are_converted(text: str, value: Any) -> None:
    assert equal_as_json(parse_yaml(text), value)


@pytest.mark.parametrize(
    "text",
    [
        "no", "on", "yes", "Off", "y", "N", "tRUE", "0777", "012", "-01", "00", "+08", "0X10", "0O7", "0x", "0xG",
        "0o8", "0b2", "1_000", "1,000", "++1", "1:30", "190:20:30", "2026-11-24", "2026-11-24T00:00:00Z", ".", "+.",
        ".e3", "1e", "1.e", "0.1e", "1.2.3", "inf", "nan", "+.nan", "Infinity", "$input", "=",
    ],
)  # fmt: skip
def test_strings_that_yaml_1_1_would_convert_stay_strings(text: str) -> None:
    assert parse_yaml(f"a: {text}") == {"a": text}
    assert parse_yaml(f"{text}: a") == {text: "a"}


def test_keys_keep_their_order() -> None:
    assert list(parse_yaml("b: 1\na: 2\nc: 3")) == ["b", "a", "c"]
    assert list(parse_json('{"b": 1, "a": 2, "c": 3}')) == ["b", "a", "c"]


def test_keys_are_not_converted() -> None:
    text = "200: a\ntrue: b\n~: c\n1.5: d\n0x10: e\n2026-11-27: f\n? !!int 7\n: g\n"
    assert parse_yaml(text) == {
        "200": "a", "true": "b", "~": "c", "1.5": "d", "0x10": "e", "2026-11-27": "f", "7": "g",
    }  # fmt: skip


def test_an_anchor_may_be_redefined() -> None:
    text = "a: &x 1\nb: *x\nc: &x [2]\nd: [*x, &y {e: &x 3}]\nf: *x\ng: *y\n"
    value = {"a": 1, "b": 1, "c": [2], "d": [[2], {"e": 3}], "f": 3, "g": {"e": 3}}
    assert parse_yaml(text) == parse_tree(text, "f.yaml").value == value


def test_aliases_and_merges_are_expanded() -> None:
    assert parse_yaml("a: &x {k: [1]}\nb: *x") == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert parse_yaml("<<: {a: 1, b: 2}\nb: 3") == {"a": 1, "b": 3}
    assert parse_yaml("b: 3\n<<: {a: 1, b: 2}") == {"a": 1, "b": 3}
    # The first of several sources wins.
    assert parse_yaml("<<: [{a: 1}, {a: 2, c: 3}]") == {"a": 1, "c": 3}
    assert parse_yaml("<<: {a: 1}\n<<: {a: 2, c: 3}") == {"a": 1, "c": 3}
    assert parse_yaml("a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {z: 3, <<: *b}")["c"] == {"x": 1, "y": 2, "z": 3}
    assert parse_yaml("'<<': 5") == {"<<": 5}
    value = parse_yaml("a: &x {}\nb: *x")
    value["a"]["changed"] = True
    assert value["b"] == {}


@QUICK
@given(VALUES, st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_json_text_is_read_back_equal(value: Any, ascii_only: bool, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert equal_as_json(parse_json(text), value)
    assert equal_as_json(parse_yaml(text), value)


@QUICK
@given(WRITABLE_VALUES, st.booleans(), st.sampled_from([True, False, None]), st.sampled_from([None, '"', "'"]))
def test_yaml_from_pyyaml_is_read_back_equal(value: Any, unicode: bool, flow_style: Any, style: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=unicode, default_flow_style=flow_style, sort_keys=False)
    if style is not None:
        # With a forced style numbers get explicit tags.
        text = yaml.safe_dump(value, allow_unicode=unicode, default_style=style, sort_keys=False)
    assert equal_as_json(parse_yaml(text), value)


def test_json_in_a_yaml_file_may_hold_what_yaml_cannot() -> None:
    value = {"k" * 3000: "\U0001f600\x7f", "tab": "a\tb"}
    assert parse_yaml(json.dumps(value)) == value
    assert parse_yaml(json.dumps(value, ensure_ascii=False, indent="\t")) == value


@QUICK
@given(st.text(st.characters(), max_size=60) | st.text(st.sampled_from("{}[]:,-&*!|>'\"%@`#?~ \n\t<a1."), max_size=60))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        with suppress(FlowFileError):
            parse(text)


# Errors


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3", "'a' appears twice", 3, 1),
        ("x: {a: 1, 'a': 2}", "'a' appears twice", 1, 11),
        ("1: 2\n'1': 3", "'1' appears twice", 2, 1),
        ("!x a: 1", "the tag !x has no JSON counterpart", 1, 1),
        ("? [a]\n: b", "a key must be a string", 1, 3),
        ("- a: .nan", ".nan is not a number that JSON can represent", 1, 6),
        ("a: -.inf", "not a number that JSON can represent", 1, 4),
        ("a: 1e999", "1e999 is not a number that JSON can represent", 1, 4),
        ("a: " + "9" * 5000, "is not an integer that can be read", 1, 4),
        ("a: !!binary aGk=", "no JSON counterpart", 1, 4),
        ("a: !custom b", "the tag !custom has no JSON counterpart", 1, 4),
        ("a: !!set {x}", "no JSON counterpart", 1, 4),
        ("a: !!map [x]", "no JSON counterpart", 1, 4),
        ("a: !!seq {x: y}", "no JSON counterpart", 1, 4),
        ("a: !!str [x]", "no JSON counterpart", 1, 4),
        ("a: !!bool maybe", "'maybe' is not what its tag", 1, 4),
        ("a: !!null x", "'x' is not what its tag", 1, 4),
        ("a: !!int x", "x is not an integer", 1, 4),
        ("a: <<", "no JSON counterpart", 1, 4),
        ("<<: 5", "only mappings can be merged", 1, 5),
        ("a: &x [*x]", "an alias is inside the value it refers to", 1, 4),
        ("a: *x", "undefined alias", 1, 4),
        ("a: 1\n---\nb: 2", "another document", 2, 1),
        ("a: [1,\nb: 2", "is not YAML", None, None),
        ("a: 'x", "this quote is not closed", 1, 4),
        ("\ta: 1", "a tab cannot be used", 1, 1),
        ("[" * 5000, "nest", None, None),
        ("a: \x07", "control characters are not allowed", None, None),
        ("\ud800", "half of a surrogate pair", None, None),
    ],
)
def test_yaml_errors_have_a_position(text: str, reason: str, line: int | None, column: int | None) -> None:
    with pytest.raises(FlowFileError) as caught:
        parse_yaml(text, "flow.yaml")
    error = caught.value
    assert str(error).startswith("flow.yaml ")
    assert reason in str(error)
    assert error.path == "flow.yaml"
    if line is not None:
        assert (error.line, error.column) == (line, column)
        assert f"(line {line}, column {column})" in str(error)


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        ("", "it is empty", 1, 1),
        ("{", "this { is not closed", 1, 1),
        ('{"a": 1,}', "", 1, None),
        ('{"a": 1,\n "b": nul}', "expecting value", 2, 7),
        ('{"a": 1, "a": 2}', "'a' appears twice", 1, 10),
        ('{\n\t"a": 1,\n\t"a": 2}', "'a' appears twice", 3, 2),
        ('{"a": {"x\\u0041": 1, "xA": 2}}', "'xA' appears twice", 1, 22),
        ("[NaN]", "NaN is not a number that JSON can represent", 1, 2),
        ('["NaN",\n Infinity]', "Infinity is not a number", 2, 2),
        ('{"a": -Infinity}', "-Infinity is not a number", 1, 7),
        ("[1, 1e400]", "1e400 is not a number that JSON can represent", 1, 5),
        ("[" + "9" * 5000 + "]", "not an integer that can be read", 1, 2),
        ('"\x00"', "invalid control character", 1, 2),
        ('{"' + "k" * 3000 + '": 1, "a": 1, "a": 2}', "'a' appears twice", None, None),
        ('{"a": "\x7f", "a": 1}', "'a' appears twice", None, None),
        ("[" * 100_000, "nested too deeply", None, None),
    ],
)
def test_json_errors_have_a_position(text: str, reason: str, line: int | None, column: int | None) -> None:
    with pytest.raises(FlowFileError) as caught:
        parse_json(text, "flow.json")
    error = caught.value
    assert str(error).startswith("flow.json ")
    assert "YAML" not in str(error)
    assert reason in str(error)
    assert error.line == line
    if column is not None:
        assert error.column == column


def test_aliases_cannot_expand_without_limit() -> None:
    lists = [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 40)]
    merges = [
        f"a{number}: &a{number} {{<<: *a{number - 1}, k{number}: [*a{number - 1}, *a{number - 1}]}}"
        for number in range(1, 40)
    ]
    for lines in (lists, merges):
        # This is detected before the expansion, because 10**39 values would never finish.
        with pytest.raises(FlowFileError, match="its aliases expand to more than 1,000,000 values"):
            parse_yaml("\n".join(["a0: &a0 {k0: x}", *lines]))


def test_merges_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 400
    text = "a0: &a0 {k0: x}\n" + "".join(
        f"a{each}: &a{each} {{<<: *a{each - 1}, k{each}: x}}\n" for each in range(1, number)
    )
    is_built = []
    pairs = yaml_format.YamlReader.read_pairs

    def count_and_read(reader: Any, node: Any) -> Any:
        is_built.append(id(node) not in reader.mappings)
        return pairs(reader, node)

    monkeypatch.setattr(yaml_format.YamlReader, "read_pairs", count_and_read)
    assert len(parse_yaml(text)[f"a{number - 1}"]) == number
    # Each mapping is built once, however often it is merged.
    assert sum(is_built) == number + 1
    assert len(is_built) < 4 * number


def test_merges_cannot_expand_without_limit() -> None:
    keys = ", ".join(f"k{each}: x" for each in range(2_000))
    many = ", ".join(["*a"] * 600)
    with pytest.raises(FlowFileError, match="its merges expand to more than 1,000,000 values"):
        parse_yaml(f"a: &a {{{keys}}}\nb: {{<<: [{many}]}}")


@pytest.mark.exhaustive
def test_a_large_file_without_aliases_is_accepted() -> None:
    assert len(parse_yaml("[" + "x," * 1_100_000 + "]")) == 1_100_000


# Files


def test_the_extension_selects_the_format(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.yml", "a", "a.txt"):
        (tmp_path / name).write_text("a: no")
        assert load_file(tmp_path / name) == {"a": "no"}
    (tmp_path / "a.JSON").write_text("a: no")
    with pytest.raises(FlowFileError, match="is not JSON"):
        load_file(tmp_path / "a.JSON")


def test_files_are_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + '{"ä": "\U0001f600"}'.encode())
        assert load_file(tmp_path / name) == {"ä": "\U0001f600"}
        (tmp_path / name).write_bytes('{"ä": 1}'.encode("latin-1"))
        with pytest.raises(FlowFileError, match="is not UTF-8 text \\(byte 2\\)"):
            load_file(str(tmp_path / name))


def test_the_error_for_invalid_utf_8_has_a_position() -> None:
    flow = FlowText.from_bytes("name: a\nä: é\noutput: café".encode().replace("é".encode(), b"\xe9", 2), "f.yaml")
    assert flow.error is not None
    assert (flow.error.line, flow.error.column) == (2, 4)
    assert [(each.rule, each.level, each.line, each.column, each.hint) for each in check_source(flow)] == [
        ("syntax", "fatal", 2, 4, "save it as UTF-8")
    ]


def test_crlf_line_ends_are_normalized(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\r\nb: |\r\n  x\r\n  y\r\n")
    assert load_file(tmp_path / "a.yaml") == {"a": 1, "b": "x\ny\n"}


def test_the_error_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    with pytest.raises(FileNotFoundError, match="does not exist") as caught:
        load_flow(missing)
    assert isinstance(caught.value, FlowFileError)
    assert caught.value.path == missing
    assert missing in str(caught.value)
    with pytest.raises(FlowFileError, match="is a folder"):
        load_flow(tmp_path)
    for name in ("a\0b", "\ud800", "x" * 10_000):
        with pytest.raises(FlowFileError, match="cannot be read"):
            load_flow(name)
    (tmp_path / "file").write_text("")
    with pytest.raises(FlowFileError, match="cannot be read"):
        load_flow(tmp_path / "file" / "below.yaml")


def test_an_endless_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 3 * 2**20)
    for path in ("/dev/zero", Path("/dev/zero")):
        with pytest.raises(FlowFileError, match="/dev/zero is larger than 3 MiB, the maximum"):
            load_flow(path)


def test_the_maximum_file_size_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 2**20)
    path = tmp_path / "input.json"
    path.write_bytes(b'"' + b"x" * (2**20 - 2) + b'"')
    assert len(load_file(path)) == 2**20 - 2
    path.write_bytes(b'"' + b"x" * (2**20 - 1) + b'"')
    with pytest.raises(FlowFileError, match=r"input.json is larger than 1 MiB") as caught:
        load_file(path)
    assert caught.value.path == str(path)


def test_long_yaml_is_refused_but_long_json_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "- x\n" * 2**23 + "- y"
    with pytest.raises(FlowFileError, match="contains more than 32 MiB of YAML; write it as JSON"):
        parse_yaml(text, "flow.yaml")
    monkeypatch.setattr(reading, "MAX_YAML_LENGTH", 10)
    assert parse_yaml("- x\n- y") == ["x", "y"]
    assert parse_yaml('["xxxx", "yyyy"]') == ["xxxx", "yyyy"]
    with pytest.raises(FlowFileError, match="the key 'a' appears twice in one object"):
        parse_json('{"a": 1, "a": 2}')


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        # A sparse file, which would take far too long to read.
        file.truncate(2**40)
    with pytest.raises(FlowFileError, match="is larger than 256 MiB"):
        load_file(path)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)

    def write() -> None:
        with path.open("w") as pipe:
            pipe.write("steps: []\n")
            pipe.flush()
            time.sleep(0.2)
            pipe.write("output: 5\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert load_flow(path) == {"steps": [], "output": 5}
    finally:
        writer.join()


def test_a_pipe_without_a_writer_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    with deadline_scope(time.monotonic() + 0.2), pytest.raises(FlowFileError, match="is a pipe that received no data"):
        load_flow(path)
    # 30 seconds, 300 times as fast.
    monkeypatch.setattr(reading, "limit_by_deadline", lambda deadline, seconds: seconds / 300)
    with pytest.raises(FlowFileError, match=r"is a pipe that received no data for 0\.1 s"):
        load_flow(path)


def test_an_endless_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 2**20)
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
            while True:
                pipe.write(bytes(2**16))

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(FlowFileError, match="is larger than 1 MiB"):
        load_flow(path)
    writer.join()
