"""The completion context at the cursor (`|`), even if the text is not valid yet."""

from __future__ import annotations

import pytest
from stepflow_cli.lsp.cursor import blank_invalid_lines, find_key_or_value_at, find_typed_word
from stepflow_cli.lsp.mentions import find_mentions, list_rename_edits
from stepflow_client._checks.steps_and_references import FlowAnalysis
from stepflow_client.flows.syntax_tree import FlowText

STEP = "steps:\n  - id: a\n    "
CASES = [
    # text, path, is_key, typed word, index of the first parsed step, is_quoted
    (f"{STEP}component: /bui|\n", "$.steps[0].component", False, "/bui", 0, False),
    (f"{STEP}comp|\n    input: 3\n", "$.steps[0]", True, "comp", 0, False),
    (f"{STEP}comp|: /x\n", "$.steps[0]", True, "comp", 0, False),
    (f"{STEP}component: /x\n    in|\n  - id: b\noutput: 1\n", "$.steps[0]", True, "in", 0, False),
    ("steps:\n- id: z\n- id: a\n  input:\n    us|\noutput: 1\n", "$.steps[0].input", False, "us", 1, False),
    (f"{STEP}input: {{x: {{$step: b, path: $.|\noutput: 1\n", "$.steps[0].input.x.path", False, "$.", 0, False),
    (f"{STEP}input: {{x: {{$st|\noutput: 1\n", "$.steps[0].input.x", True, "$st", 0, False),
    (f"{STEP}input: {{x: {{$step: |}}}}\n", "$.steps[0].input.x.$step", False, "", 0, False),
    (f'{STEP}input: {{path: "$.a[|\n  - id: c\n', "$.steps[0].input.path", False, "$.a[", 0, True),
    (f"{STEP}input: {{path: $.a[0].|}}\n", "$.steps[0].input.path", False, "$.a[0].", 0, False),
    (f"{STEP}input: 'it|\n", "$.steps[0].input", False, "it", 0, True),
    (f"{STEP}|\noutput: 1\n", "$.steps[0]", True, "", 0, False),
    ("name: x\nste|\n", "$", False, "ste", 0, False),
    ("steps:\n  - |\n", "$.steps[0]", False, "", 0, False),
    (f"{STEP}input: &g 1\n  - id: b\n    input: *g\n    |\n", "$.steps[1]", True, "", 0, False),
    ("steps:\r\n  - id: a\r\n    comp|\r\noutput: 1\r\n", "$.steps[0]", True, "comp", 0, False),
    ('{"steps": [{"id": "a", "comp|', "$.steps[0]", True, "comp", 0, True),
    ('{"steps": [{"id": "a", "component": "/bu|"}]}', "$.steps[0].component", False, "/bu", 0, True),
    ('{"steps": [{"id": "a", "component": |}]}', "$.steps[0].component", False, "", 0, False),
    ('{"steps": [{"id": "a",\n "comp|\n "input": 3}]}', "$.steps[0]", True, "comp", 0, True),
    ('{"steps": [{"id": "a", |}], "output": 1}', "$.steps[0]", True, "", 0, False),
]


@pytest.mark.parametrize(("text", "path", "is_key", "word", "first", "is_quoted"), CASES)
def test_the_typed_word(text: str, path: str, is_key: bool, word: str, first: int, is_quoted: bool) -> None:
    offset, source = text.index("|"), text.replace("|", "")
    completion = find_typed_word(source, "x.json" if text.startswith("{") else "x.yaml", offset)
    assert completion is not None
    assert (completion.target.node.path, completion.target.key is not None, completion.text) == (path, is_key, word)
    assert (completion.first_step, completion.is_quoted) == (first, is_quoted)
    assert source[completion.start : offset] == word


@pytest.mark.parametrize("text", ["# a comm|ent\nname: x\n", "name: >2\n  te|xt\n", "a: b: c\n- |d: [", "\0|"])
def test_unclear_text_has_no_typed_word(text: str) -> None:
    offset = text.rindex("|")
    assert find_typed_word(text[:offset] + text[offset + 1 :], "x.yaml", offset) is None


def test_the_rest_of_a_word_is_replaced_too() -> None:
    text = f"{STEP}component: /builtin/noop # why\n"
    completion = find_typed_word(text, "x.yaml", text.index("tin/"))
    assert completion is not None
    assert text[completion.start : completion.end] == "/builtin/noop"


@pytest.mark.parametrize("typed", ['{"$step": "st', '{"$step": "st"}', '{"$step": "st",', '{"$st'])
@pytest.mark.parametrize("indent", ["  ", "\t"])
def test_only_the_current_step_of_json_is_parsed(typed: str, indent: str) -> None:
    """The step may be incomplete, and later steps may be invalid."""
    steps = [f'{{\n{indent * 2}"id": "{name}",\n{indent * 2}"input": INPUT\n{indent}}}' for name in "abc"]
    steps = [steps[0].replace("INPUT", "1"), steps[1].replace("INPUT", typed), steps[2].replace("INPUT", "{{")]
    text = f'{{\n"name": "x", "steps": [\n{indent}' + f",\n{indent}".join(steps) + '\n], "output": {"a": 1}}\n'
    completion = find_typed_word(text, "x.json", text.index("$st") + 3 + ("ep" in typed) * len('ep": "st'))
    assert completion is not None
    assert (completion.first_step, completion.text) == (1, "st" if "ep" in typed else "$st")
    root = completion.target.node
    while root.parent is not None:
        root = root.parent
    assert root.at("steps", 0, "id").value == "b"  # type: ignore[union-attr]
    assert root.keys.keys() == {"steps"}


def test_the_key_or_value_at_an_offset() -> None:
    text = "a: {b: [1, two]}\nc: &x hello\nd: *x\n"
    root = FlowText(text, "x.yaml").root
    for part, path, key in (("b:", "$.a", "b"), ("two", "$.a.b[1]", None), ("hello", "$.c", None), ("*x", "$.d", None)):
        spot = find_key_or_value_at(root, text.index(part))
        assert (spot.node.path, spot.key) == (path, key)


def test_invalid_lines_are_blanked() -> None:
    text = f"{STEP}component: /x: y\n  - id: b\n    input: {{a: *nowhere}}\noutput: {{$step: b}}\n"
    flow = blank_invalid_lines(FlowText(text, "x.yaml"))
    assert flow.error is None
    assert len(flow.text) == len(text)
    assert [each.id for each in FlowAnalysis(flow.root).steps] == ["a", "b"]
    assert blank_invalid_lines(FlowText("a: [", "x.yaml")).error is None
    assert blank_invalid_lines(FlowText("{}", "x.yaml")).text == "{}"


@pytest.mark.parametrize(
    ("written", "new"),
    [
        ("v", "w"), ("$.v.v", "$.w.v"), ("\"$['v'][0]\"", "\"$['w'][0]\""), ('"$.v"', '"$.w"'), ('"\\x76"', None),
    ],
)  # fmt: skip
def test_variables_are_renamed_in_paths(written: str, new: str | None) -> None:
    declared = "schemas: {properties: {variables: {properties: {v: {}}}}}"
    text = f"{declared}\noutput: {{$variable: {written}}}\n"
    mentions = list(find_mentions(FlowAnalysis(FlowText(text, "x.yaml").root), text))
    if new is None:
        with pytest.raises(ValueError, match="escapes"):
            list_rename_edits(text, mentions, mentions[0], "w")
        return
    edits = list_rename_edits(text, mentions, mentions[0], "w")
    for start, end, word in sorted(edits, reverse=True):
        text = text[:start] + word + text[end:]
    assert text == f"{declared.replace('v: {}', 'w: {}')}\noutput: {{$variable: {new}}}\n"
