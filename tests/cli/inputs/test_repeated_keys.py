"""Duplicate keys in the configuration of an embedded server are reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stepflow_cli.inputs.server_config_checks import find_duplicate_keys

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

TWICE = """\
plugins:
  builtin: {type: builtin}
routes:
  "/builtin":
    - plugin: nothing
  "/builtin":
    - plugin: builtin
"""
JSON = """\
{"plugins": {"builtin": {"type": "builtin"}}, "routes": {
"/builtin": [],
"/builtin": [{"plugin": "builtin"}]}}"""


@pytest.mark.parametrize(
    ("text", "duplicates"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", [("c", 2, 2)]),
        ("a: 1\n'a': 2\na: 3\n", [("a", 1, 2), ("a", 1, 3)]),
        ("- {a: 1}\n- {a: 1}\n", []),
        ("a: &x {b: 1, b: 2}\nc: *x\nd: {<<: *x, <<: *x}\n", [("b", 1, 1)]),
        ("a: !tag {b: 1, b: 2}\n", [("b", 1, 1)]),
        ('{"a": 1,\n"a": 2}', [("a", 1, 2)]),
        ('{"a": {"b": 1}, "b": 2}', []),
        ("{a: 1, a: 2}", [("a", 1, 1)]),
        ("a: [\n", []),
        ("[" * 50_000, []),
        ("", []),
    ],
)
def test_find_duplicate_keys(text: str, duplicates: list[tuple[str, int, int]]) -> None:
    assert find_duplicate_keys(text) == duplicates


@pytest.mark.parametrize("name", ["config.yml", "config.json"])
def test_duplicate_keys_are_reported(
    name: str, terminal: Callable[..., Terminal], stepflow: Stepflow, golden: Golden
) -> None:
    (stepflow.folder / name).write_text(JSON if name.endswith("json") else TWICE)
    golden(terminal("run", "echo.yaml", "--input-json", "1", "--config", name, width=100))


def test_no_report_with_quiet_or_json(stepflow: Stepflow) -> None:
    (stepflow.folder / "config.yml").write_text(TWICE)
    for options in (["-q"], ["-o", "json"]):
        done = stepflow("run", "echo.yaml", "--input-json", "1", "--config", "config.yml", *options)
        assert (done.code, done.stderr) == (0, "")
