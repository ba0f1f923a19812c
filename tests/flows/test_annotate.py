"""Adding inferred schemas to a flow file changes no other byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_client import FlowFileError
from stepflow_client._checks.inferred_flow import infer_from_flow_text
from stepflow_client._editing.schema_additions import add_schemas
from stepflow_client.flows import infer
from stepflow_client.flows.reading import parse_json, parse_yaml
from stepflow_client.flows.syntax_tree import FlowText

from tests.flows.valid import VALID

_FOLDER = Path(__file__).with_name("type_faults")
_LISTED = json.loads((_FOLDER / "components.json").read_text())
_TEXT = {"type": "string"}


def _added(text: str, schemas: Any, source: str = "flow.yaml") -> str:
    return add_schemas(text.encode(), schemas, source).decode()


def _is_subsequence(part: str, whole: str) -> bool:
    """Return whether a text results from another by insertions only."""
    rest = iter(whole)
    return all(each in rest for each in part)


@pytest.mark.parametrize(
    "path", [*sorted(_FOLDER.glob("*.yaml")), *sorted(Path("examples").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_files_keep_every_byte(path: Path) -> None:
    content = path.read_bytes()
    inferred = infer(path, components=_LISTED)
    changed = inferred.annotated(content, str(path))
    assert _is_subsequence(content.decode(), changed.decode())
    again = infer_from_flow_text(FlowText(changed.decode(), str(path)))
    assert again.missing == {}
    assert again.annotated(changed, str(path)) == changed


_LAYOUTS: dict[str, Callable[[Any], str]] = {
    "json": json.dumps,
    "json with tabs": lambda flow: json.dumps(flow, indent="\t") + "\n",
    "indented json": lambda flow: json.dumps(flow, indent=2) + "\n",
    "yaml": lambda flow: yaml.safe_dump(flow, sort_keys=False),
    "yaml in braces": lambda flow: yaml.safe_dump(flow, sort_keys=False, default_flow_style=True, width=60),
}


@pytest.mark.parametrize("index", range(len(VALID)))
def test_each_layout(index: int) -> None:
    flow = VALID[index][0]
    for form, write in _LAYOUTS.items():
        source = "flow.json" if "json" in form else "flow.yaml"
        text = write(flow)
        inferred = infer_from_flow_text(FlowText(text, source))
        changed = inferred.annotated(text.encode(), source).decode()
        whole = (parse_json if source == "flow.json" else parse_yaml)(changed, source)
        assert _is_subsequence(text, changed), form
        assert form != "json with tabs" or not re.search(r"^\t* ", changed, re.MULTILINE)
        assert {key: value for key, value in whole.items() if key != "schemas"} == {
            key: value for key, value in flow.items() if key != "schemas"
        }, form
        for name, schema in inferred.missing.items():
            added = whole["schemas"]["properties"][name]
            assert added == schema or name == "steps", form


_ODD = """\
# a comment
name: &name 'it''s'   # behind
description: >-
  folded
  text

schemas:              # types
  $defs: {T: {type: string}}

  # what comes in
  properties:
    input: {$ref: "#/$defs/T"}   # one line

# the steps
steps:
- "id": "a b: c"
  component: /builtin/noop
  input: {$input: $}
  metadata: {name: *name}
output:
    {$step: "a b: c"}
# the end
"""


def test_an_unusual_layout() -> None:
    changed = infer_from_flow_text(FlowText(_ODD, "flow.yaml")).annotated(_ODD.encode(), "flow.yaml").decode()
    line = '    input: {$ref: "#/$defs/T"}   # one line\n'
    added = "    output: {type: string}\n    steps:\n      properties:\n        'a b: c': {type: string}\n"
    assert changed == _ODD.replace(line, line + added)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: f\noutput: 1", "name: f\noutput: 1\nschemas:\n  properties:\n    output: {type: string}"),
        ("output: 1\nschemas: {}  # c\n", "output: 1\nschemas:   # c\n  properties:\n    output: {type: string}\n"),
        ("output: 1\nschemas:\n", "output: 1\nschemas:\n  properties:\n    output: {type: string}\n"),
        ("output: 1\nschemas: null\n", "output: 1\nschemas: \n  properties:\n    output: {type: string}\n"),
        (
            "output: 1\nschemas: {properties: {input: {}}}\n",
            'output: 1\nschemas: {properties: {input: {}, output: {"type": "string"}}}\n',
        ),
        (
            "name: f\n# of the steps\nsteps: []\noutput: 1\n",
            "name: f\nschemas:\n  properties:\n    output: {type: string}\n# of the steps\nsteps: []\noutput: 1\n",
        ),
        (
            "steps: []\r\noutput: 1\r\n",
            "steps: []\r\noutput: 1\r\nschemas:\r\n  properties:\r\n    output: {type: string}\r\n",
        ),
        ("\ufeffoutput: 1\n", "\ufeffoutput: 1\nschemas:\n  properties:\n    output: {type: string}\n"),
        ("{output: 1, schemas: null}", '{output: 1, schemas: {"properties": {"output": {"type": "string"}}}}'),
        ('{"output":1,"schemas":null}', '{"output":1,"schemas": {"properties": {"output": {"type": "string"}}}}'),
        ('{"output": 1}', '{"output": 1, "schemas": {"properties": {"output": {"type": "string"}}}}'),
    ],
)
def test_schemas_are_added_in_the_right_place(before: str, after: str) -> None:
    assert _added(before, {"output": _TEXT}) == after


@pytest.mark.parametrize("length", [110, 111])
def test_a_schema_in_a_list_is_on_one_line_of_at_most_110_characters(length: int) -> None:
    start = "        - {title: "
    title = "x" * (length - len(start) - len("}"))
    changed = _added("output: 1\n", {"output": {"anyOf": [{"title": title}]}})
    assert (f"\n{start}{title}}}\n" in changed) is (length == 110)
    assert parse_yaml(changed)["schemas"]["properties"]["output"] == {"anyOf": [{"title": title}]}


def test_keys_that_are_not_plain_yaml_strings_are_quoted() -> None:
    schema = {"type": "object", "properties": {"null": _TEXT, "on": _TEXT, "a: b": _TEXT, "1": _TEXT}, "enum": ["no"]}
    changed = _added("output: 1\n", {"output": schema})
    assert parse_yaml(changed)["schemas"] == {"properties": {"output": schema}}


@pytest.mark.parametrize("schemas", ["*s", "[]", "text"])
def test_files_that_would_need_other_changes_are_refused(schemas: str) -> None:
    text = f"metadata: {{s: &s {{properties: {{}}}}}}\noutput: 1\nschemas: {schemas}\n"
    with pytest.raises(FlowFileError, match="without changing more of the file"):
        _added(text, {"output": _TEXT})


def test_an_anchored_mapping_is_not_changed() -> None:
    text = "output: 1\nschemas: &s\n  properties: {input: {}}\nmetadata: *s\n"
    with pytest.raises(FlowFileError, match="without changing more of the file"):
        _added(text, {"output": _TEXT})


def test_nothing_to_add() -> None:
    assert _added("output: 1\n", {}) == "output: 1\n"
