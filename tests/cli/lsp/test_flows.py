"""Every feature of the language server works on ten flows, both complete and while they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client._checks.steps_and_references import FlowAnalysis, LocatedReference
from stepflow_client._checks.type_inference import infer_flow_types
from stepflow_client.flows.components import ComponentCatalog
from stepflow_client.flows.syntax_tree import FlowText, Node
from stepflow_client.flows.type_system import UNKNOWN, is_unknown

from tests.cli.command import Stepflow
from tests.cli.lsp.client import Editor, ResponseError, apply_edits, position, started, texts_of_ranges
from tests.cli.lsp.flows import FLOWS, MAP, PLAIN, TESTED, TYPED, VARIABLES

flows = pytest.mark.parametrize("name", FLOWS)
WHOLE = {"start": {"line": 0, "character": 0}, "end": {"line": 999, "character": 0}}


def analyze(name: str, text: str | None = None) -> list[FlowAnalysis]:
    return list(FlowAnalysis(FlowText(FLOWS[name] if text is None else text, name).root).all_flows)


def reads(name: str, kind: str) -> Iterator[tuple[FlowAnalysis, LocatedReference]]:
    """Yield the references in a flow and its nested flows, except those below YAML aliases."""
    for model in analyze(name):
        for read in model.reads:
            if read.kind == kind and read.argument.original is None and 0 <= read.argument.start < read.argument.end:
                yield model, read


def span_without_quotes(name: str, node: Node) -> tuple[int, int]:
    """Return the start and end of a value without its quotes."""
    quoted = FLOWS[name][node.start] in "'\""
    return node.start + quoted, node.end - quoted


def complete_prefix(editor: Editor, name: str, start: int, end: int, prefix: str, *, is_cut: bool) -> list[str]:
    """Return the completions after a range is replaced by `prefix`.

    With `is_cut`, the rest of the line is missing, as it is while someone types.
    """
    text = FLOWS[name]
    line = text.find("\n", end)
    editor.edit(name, start, line if is_cut else end, prefix)
    labels = editor.labels(name, start + len(prefix))
    editor.replace(name, text)
    return labels


@flows
@pytest.mark.parametrize("is_cut", [False, True])
def test_steps_are_completed(editor: Editor, name: str, is_cut: bool) -> None:
    for model, read in reads(name, "step"):
        start, end = span_without_quotes(name, read.argument)
        for prefix in ("", str(read.step_id)[:2]):
            assert read.step_id in complete_prefix(editor, name, start, end, prefix, is_cut=is_cut), (
                prefix,
                read.node.path,
            )
        assert len(model.steps) > 0


@flows
@pytest.mark.parametrize("is_cut", [False, True])
def test_paths_are_completed(editor: Editor, name: str, is_cut: bool) -> None:
    for _, read in reads(name, "step"):
        path = read.node.get("path")
        if path is None:
            continue
        start, end = span_without_quotes(name, path)
        written = FLOWS[name][start:end]
        for prefix in ("", "$.", written[: max(written.rfind("."), written.rfind("[")) + 1]):
            labels = complete_prefix(editor, name, start, end, prefix, is_cut=is_cut)
            assert written in labels, (prefix, read.node.path)


@flows
@pytest.mark.parametrize("is_cut", [False, True])
def test_components_are_completed(editor: Editor, name: str, is_cut: bool) -> None:
    for model in analyze(name):
        for step in model.steps:
            node = step.node.items["component"]
            if node.original is None and str(step.component).startswith("/builtin") and "&" not in FLOWS[name]:
                start, end = span_without_quotes(name, node)
                for prefix in ("", "/bui", str(step.component)[:-1]):
                    assert step.component in complete_prefix(editor, name, start, end, prefix, is_cut=is_cut), prefix


@flows
def test_keys_of_steps_are_completed(editor: Editor, name: str) -> None:
    for model in analyze(name):
        for step in model.steps:
            key = step.node.keys["component"]
            quoted = FLOWS[name][key.start] == '"'
            start, end = key.start + quoted, key.end - quoted
            for prefix in ("", "comp"):
                labels = complete_prefix(editor, name, start, end, prefix, is_cut=False)
                assert {"component", "onError", "mustExecute"} - {*step.node.items} <= {*labels}
                assert "id" not in labels
                assert "component" in complete_prefix(
                    editor,
                    name,
                    start,
                    end,
                    prefix,
                    is_cut=not model.root.at("steps").is_flow,  # type: ignore[union-attr]
                )


@pytest.mark.parametrize(
    ("name", "before", "line", "labels"),
    [
        ("plain.yaml", "    input: {data", "    inp", {"input", "onError"}),
        ("plain.yaml", "    input: {data", "    onError: {act", {"action"}),
        ("plain.yaml", "    input: {data", "    onError: {action: ", {"fail", "useDefault", "retry"}),
        ("plain.yaml", "    input: {data", "    mustExecute: ", {"true", "false"}),
        ("plain.yaml", "      system_instructions", "      sys", {"system_instructions", "$step"}),
        ("plain.yaml", "output:", "outp", {"test", "schemas"}),
        ("plain.yaml", "  - id: keep", "  - ", {"id", "onError"}),
        ("plain.yaml", "  answer:", "  $", {"$step", "$if"}),
        ("typed.yaml", "    onError: ", "    metadata: {$", set()),
        ("typed.yaml", "      required: [customer", "      required: [", {"customer", "count"}),
        ("typed.yaml", "    output: {type: obj", "    output: {type: ", {"object", "string"}),
        ("typed.yaml", "    input: {dur", "    input: {duration_ms: {$input: $.", {"$.customer", "$.count"}),
        ("variables.yaml", "      then:", "      then: {$variable: ", {"model", "limits", "$.limits.most"}),
        ("map.yaml", "              input: {user", "              input: {", {"user_prompt", "$input"}),
        ("map.yaml", "          output: {$step: keep", "          output: {$step: ", {"list", "keep"}),
        ("tested.yaml", "  - {name: tea", "  - {name: tea, input: {", {"sku"}),
        ("tested.yaml", "      mocks: {", "      mocks: {", {"price"}),
        ("tested.yaml", "      output: {out", "      output: {outcome: ", {"success", "failed"}),
        ("tested.yaml", "    steps: {prop", "    steps: {properties: {", {"price"}),
        ("iterate.yml", "            - {id: same", "            - {id: same, com", {"component"}),
        ("flow.json", '      "component": "/builtin/put', '      "', {"component", "onError"}),
        ("flow.json", '      "component": "/builtin/put', '      "component": ', {"/builtin/put_blob"}),
        ("flow.json", '  "output"', '  "output": {"$step": "keep", "path": "', {"$.blob_id"}),
    ],
)
def test_completions_in_a_line(editor: Editor, name: str, before: str, line: str, labels: set[str]) -> None:
    """One line is replaced by an unfinished one; the rest of the flow is unchanged."""
    text = FLOWS[name]
    start = text.index(before)
    editor.edit(name, start, text.index("\n", start), line)
    offered = {*editor.labels(name, start + len(line))}
    assert labels <= offered
    assert offered or not labels


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", "flow"),
        ("st", "steps"),
        ("name: x\n", "description"),
        ("name: x\nsteps:\n  ", "- id"),
        ("{", "name"),
        ("steps:\n  - id: a\n    component: /builtin/noop\noutput: ", "{$step: a}"),
        ("steps: []\ntest:\n  cases:\n    - name: a\n      output:\n        result: {id: {$", "$any"),
        ("steps: []\ntest:\n  cases:\n    - name: a\n      output: {outcome: success, result: {$type: ", "null"),
    ],
)
def test_first_completion_in_a_new_flow(editor: Editor, text: str, first: str) -> None:
    name = "new.json" if text == "{" else "new.yaml"
    editor.open(name, text)
    assert editor.labels(name, len(text))[0] == first


def test_existing_keys_are_not_offered(editor: Editor) -> None:
    text = TESTED.replace("description: With cases and an example.\n", "", 1)
    editor.replace("tested.yaml", text)
    editor.edit("tested.yaml", 13, 13, "\n")
    assert editor.labels("tested.yaml", 13)[:2] == ["description", "$schema"]


@pytest.mark.parametrize("has_snippets", [False, True])
def test_snippets_create_a_flow_without_errors(folder: Path, command: Stepflow, has_snippets: bool) -> None:
    """JSON files and editors without snippet support get plain text without placeholders."""
    with started(folder, command.environment, has_snippets=has_snippets) as editor:
        for name in ("flow.yaml", "flow.json"):
            editor.open(name, "")
            [item] = [each for each in editor.request_at("completion", name, 0)["items"] if each["label"] == "flow"]
            assert item.get("insertTextFormat", 1) == (2 if has_snippets and name == "flow.yaml" else 1)
            editor.accept(name, 0, "flow")
            assert [each for each in editor.diagnostics(name) if each["severity"] == 1] == []
        text = editor.texts[editor.uri("flow.yaml")]
        at = text.index("output:")
        editor.edit("flow.yaml", at, at, "  - \n")
        editor.accept("flow.yaml", at + 4, "id")
        assert [each["name"] for each in editor.request_for("documentSymbol", "flow.yaml")] == ["ask", "name", "output"]


def test_text_edit_of_a_completion(editor: Editor) -> None:
    """A completion replaces the whole word, adds a colon to keys, and quotes values where needed."""

    def complete(name: str, before: str, line: str, label: str) -> str:
        text = FLOWS[name]
        start = text.index(before)
        editor.replace(name, text[:start] + line + text[text.index("\n", start) :])
        items = editor.request_at("completion", name, start + len(line))["items"]
        edit = next(each["textEdit"] for each in items if each["label"] == label)
        return apply_edits(editor.texts[editor.uri(name)], [edit])[start:].partition("\n")[0]

    assert complete("plain.yaml", "    input: {data", "    must", "mustExecute") == "    mustExecute: "
    path = "$.messages[0].content"
    expected = '    input: {data: {$step: ask, path: "$.messages[0].content"'
    assert complete("plain.yaml", "    input: {data", "    input: {data: {$step: ask, path: ", path) == expected
    assert (
        complete("plain.yaml", "    input: {data", '    input: {data: {$step: ask, path: "$.', path) + '"' == expected
    )
    assert (
        complete("plain.yaml", "    input: {data", "    input: {data: {$step: ask, path: $.messages[0].", path)
        == expected
    )
    assert complete("flow.json", '      "component": "/builtin/put', '      "component": ', "/builtin/noop") == (
        '      "component": "/builtin/noop"'
    )
    assert (
        complete("signs.yaml", "output:", "output: {$step: ", "ende \N{ROCKET}") == 'output: {$step: "ende \N{ROCKET}"'
    )


def test_no_completions_in_free_text_and_comments(editor: Editor) -> None:
    assert (
        complete_prefix(editor, "plain.yaml", PLAIN.index("Greets."), PLAIN.index("Greets.") + 7, "Gr", is_cut=True)
        == []
    )
    comment = PLAIN.index("    component:")
    editor.edit("plain.yaml", comment, comment, "    # comp")
    assert editor.labels("plain.yaml", comment + 10) == []


@flows
def test_truncated_flows_are_handled(editor: Editor, name: str) -> None:
    """Completions and diagnostics work for every prefix of a flow."""
    text = FLOWS[name]
    for end in range(0, len(text), 41):
        editor.replace(name, text[:end])
        editor.labels(name, end)
    assert isinstance(editor.diagnostics(name), list)


@pytest.mark.parametrize("invalid", ["\0", "\ud83d"])
def test_flows_with_invalid_characters_get_no_completions(editor: Editor, invalid: str) -> None:
    text = f"steps:\n- id: {invalid}\n  "
    editor.replace("plain.yaml", text)
    assert editor.labels("plain.yaml", len(text)) == []


@flows
def test_definitions_and_references(editor: Editor, name: str) -> None:
    text = FLOWS[name]
    for model, read in reads(name, "step"):
        start, _ = span_without_quotes(name, read.argument)
        id_node = model.by_id[str(read.step_id)].node.items["id"]
        definitions = editor.request_at("definition", name, start)
        assert [each["range"]["start"] for each in definitions] == [
            position(text, span_without_quotes(name, id_node)[0])
        ]
        references = editor.request_at("references", name, start, context={"includeDeclaration": True})
        without = editor.request_at("references", name, start, context={"includeDeclaration": False})
        assert len(references) == len(without) + 1
        assert {*texts_of_ranges(text, [each["range"] for each in references])} == {read.step_id}
        reads_of_step = [
            each for each in model.reads if each.step_id == read.step_id and each.argument.original is None
        ]
        assert len({each.argument.start for each in reads_of_step}) <= len(without)


def test_references_of_a_variable_and_of_a_mock(editor: Editor) -> None:
    references = editor.request_at("references", "variables.yaml", "model: {type", context={"includeDeclaration": True})
    assert texts_of_ranges(VARIABLES, [each["range"] for each in references]) == ["model"] * 4
    references = editor.request_at("references", "tested.yaml", "price: {outcome", context={"includeDeclaration": True})
    assert texts_of_ranges(TESTED, [each["range"] for each in references]) == ["price"] * 4


@flows
def test_rename_and_rename_back(editor: Editor, name: str) -> None:
    """A rename changes nothing but the name, and renaming back restores the text."""
    uri, text = editor.uri(name), FLOWS[name]
    before = editor.rules(name)
    for number, model in enumerate(analyze(name)):
        for step in model.steps:
            at = step.node.items["id"].end - 1
            new = apply_edits(text, editor.request_at("rename", name, at, newName="quite_new")["changes"][uri])
            editor.replace(name, new)
            assert editor.rules(name) == before
            renamed = analyze(name, new)[number].steps[step.index]
            assert renamed.id == "quite_new"
            if step.id.isidentifier():
                back = editor.request_at("rename", name, renamed.node.items["id"].end - 1, newName=step.id)["changes"][
                    uri
                ]
                assert apply_edits(new, back) == text
            editor.replace(name, text)


def test_mocks_of_steps_in_inner_flows(editor: Editor) -> None:
    """A mock replaces the steps with its ID in all flows, so it is a use of each of them."""
    uri, name = editor.uri("map.yaml"), "map.yaml"
    text = MAP + "test: {cases: [{input: {}, mocks: {keep: {outcome: success, result: 1}}}]}\n"
    editor.replace(name, text)
    for where in ("keep\n", "keep: {outcome"):
        references = editor.request_at("references", name, where, context={"includeDeclaration": True})
        assert texts_of_ranges(text, [each["range"] for each in references]) == ["keep"] * 3
        new = apply_edits(text, editor.request_at("rename", name, where, newName="hold")["changes"][uri])
        assert new == text.replace("keep", "hold")
    [definition] = editor.request_at("definition", name, "keep: {outcome")
    assert definition["range"]["start"] == position(text, text.index("keep\n"))
    hover = editor.request_at("hover", name, "keep: {outcome")["contents"]["value"]
    assert "component: `/builtin/noop`" in hover
    assert "read by the output" in hover
    # The mock would then apply to both steps.
    with pytest.raises(ResponseError, match="already"):
        editor.request_at("rename", name, "keep\n", newName="greet")
    with pytest.raises(ResponseError, match="already"):
        editor.request_at("rename", name, "greet\n", newName="keep")


def test_a_mock_of_several_steps_is_renamed_with_all_of_them(editor: Editor) -> None:
    uri, name = editor.uri("map.yaml"), "map.yaml"
    text = MAP + "test: {cases: [{input: {}, mocks: {list: {outcome: success, result: 1}}}]}\n"
    editor.replace(name, text)
    outer, inner, mock = text.index("list\n"), text.rindex("list\n"), text.index("list: {outcome")
    for start, count in ((outer, 3), (inner, 3), (mock, 5)):
        references = editor.request_at("references", name, start, context={"includeDeclaration": True})
        assert texts_of_ranges(text, [each["range"] for each in references]) == ["list"] * count
        new = apply_edits(text, editor.request_at("rename", name, start, newName="names_of")["changes"][uri])
        assert new == text.replace("list", "names_of")
    definitions = editor.request_at("definition", name, mock)
    starts = [each["range"]["start"] for each in definitions]
    assert starts == [position(text, start) for start in (outer, inner)]
    with pytest.raises(ResponseError, match="already"):
        editor.request_at("rename", name, outer, newName="keep")


def test_invalid_renames_are_refused(editor: Editor) -> None:
    for new, reason in (("keep", "already"), ("a\nb", "line breaks"), (" ", "one character")):
        with pytest.raises(ResponseError, match=reason):
            editor.request_at("rename", "plain.yaml", "ask", newName=new)
    with pytest.raises(ResponseError, match="no step, variable"):
        editor.request_at("rename", "plain.yaml", "Greets", newName="x")
    assert editor.request_at("prepareRename", "plain.yaml", "Greets") is None
    assert editor.request_at("prepareRename", "plain.yaml", "ask")["placeholder"] == "ask"


def test_variables_are_renamed_in_paths(editor: Editor) -> None:
    edits = editor.request_at("rename", "variables.yaml", "limits: {", newName="bounds")["changes"]
    new = apply_edits(VARIABLES, edits[editor.uri("variables.yaml")])
    assert new == VARIABLES.replace("limits", "bounds")


@pytest.mark.parametrize(
    ("name", "where", "new", "expected"),
    [
        ("plain.yaml", "ask", "true", ['id: "true"', '{$step: "true", path: $.messages}']),
        ("plain.yaml", "ask", "1e3", ['id: "1e3"']),
        ("plain.yaml", "ask", "a b", ['id: "a b"', '{$step: "a b", path: "$.messages[0].content"}']),
        ("flow.json", "ask", 'a "b"', ['"id": "a \\"b\\""', '{"$step": "a \\"b\\""']),
        ("variables.yaml", "model: {type", "null", ['"null": {type', 'required: ["null"]', "\"$['null']\""]),
        ("variables.yaml", "most: {type", "a b", ['"a b": {type', "$if: {$variable: \"$.limits['a b']\"}"]),
        ("typed.yaml", "customer: {type", "client", ["client: {type", "required: [client,", "{$input: $.client.name}"]),
        ("typed.yaml", "tags: {type", "marks", ["marks: {type", '{$input: "$.customer.marks[0]"}']),
        (
            "tested.yaml",
            "sku: {type",
            "item",
            ["item: {type", "required: [item]", "$.item", "input: {item: tea}}\ntest"],
        ),
        (
            "map.yaml",
            "/builtin/noop",
            "/shop/list",
            ["component: /shop/list\n    input", "component: /shop/list\n      "],
        ),
    ],
)
def test_names_are_renamed_everywhere_and_quoted_where_needed(
    editor: Editor, name: str, where: str, new: str, expected: list[str]
) -> None:
    """The new name is still read as a string, and the diagnostics are unchanged."""
    uri, before = editor.uri(name), editor.rules(name)
    old = editor.request_at("prepareRename", name, where)["placeholder"]
    text = apply_edits(FLOWS[name], editor.request_at("rename", name, where, newName=new)["changes"][uri])
    assert [each for each in expected if each not in text] == []
    editor.replace(name, text)
    assert editor.rules(name) == before
    at = text.index(expected[0]) + expected[0].index(new.replace('"', '\\"'))
    back = editor.request_at("rename", name, at, newName=old)["changes"][uri]
    restored = apply_edits(text, back).replace("$.limits['most']", "$.limits.most")
    assert FlowText(restored, name).root.value == FlowText(FLOWS[name], name).root.value


_ODD_FIELDS = """\
schemas:
  properties:
    input: {type: object, required: [plain], properties: {plain: {properties: {"a b": {type: string}}}, $id: {}}}
steps:
  - id: one
    component: /builtin/noop
    input: {a: {$input: plain}, b: {$input: "$[\\"plain\\"][\\"a b\\"]"}, c: {$input: '$[''$id'']'}}
output: {$step: one}
"""


@pytest.mark.parametrize(
    ("where", "new", "expected"),
    [
        ("plain: {", "a.b", ["[a.b]", "{a.b: {", "a: {$input: \"$['a.b']\"}", 'b: {$input: "$[\'a.b\'][\\"a b\\"]"}']),
        ("plain: {", "$x", ["[$x]", "{$x: {", "a: {$input: $.$x}", 'b: {$input: "$.$x[\\"a b\\"]"}']),
        ("$id: {", "name", ["name: {}", "c: {$input: '$[''name'']'}"]),
        ('a b": {', "name", ['{"name": {', 'b: {$input: "$[\\"plain\\"][\\"name\\"]"}']),
    ],
)
def test_odd_fields_are_renamed_in_schemas_and_in_escaped_paths(
    editor: Editor, where: str, new: str, expected: list[str]
) -> None:
    editor.replace("plain.yaml", _ODD_FIELDS)
    edits = editor.request_at("rename", "plain.yaml", where, newName=new)["changes"][editor.uri("plain.yaml")]
    text = apply_edits(_ODD_FIELDS, edits)
    assert [each for each in expected if each not in text] == []


def test_definitions_of_fields_and_uses_of_components(editor: Editor) -> None:
    [references] = editor.request_at("definition", "typed.yaml", TYPED.index("customer.tags") + len("customer."))
    assert references["range"]["start"] == position(TYPED, TYPED.index("tags: {type"))
    references = editor.request_at("references", "tested.yaml", "sku: {type", context={"includeDeclaration": False})
    assert texts_of_ranges(TESTED, [each["range"] for each in references]) == ["sku"] * 4
    references = editor.request_at("references", "map.yaml", "/builtin/noop", context={"includeDeclaration": True})
    assert texts_of_ranges(MAP, [each["range"] for each in references]) == ["/builtin/noop"] * 2
    with pytest.raises(ResponseError, match="this flow gets its input from the step around it"):
        editor.request_at("rename", "map.yaml", MAP.index("$.name}") + 2, newName="x")


@flows
def test_hover_over_steps(editor: Editor, name: str) -> None:
    flow = FlowText(FLOWS[name], name)
    types = infer_flow_types(flow.root, UNKNOWN, ComponentCatalog(None))
    for step in types.model.steps:
        start = span_without_quotes(name, step.node.items["id"])[0]
        text = editor.request_at("hover", name, start)["contents"]["value"]
        assert f"**step** `{step.id}`" in text
        assert f"component: `{step.component}`" in text
        assert "output: `" in text
        assert ("output: `unknown`" in text) == is_unknown(types.steps[step.id].output)
        assert "read by" in text


def test_hover_over_other_elements(editor: Editor) -> None:
    def hover_text(name: str, where: str | int) -> Any:
        hover = editor.request_at("hover", name, where)
        return hover and hover["contents"]["value"]

    assert hover_text("plain.yaml", "$.messages[0]") == "type: `string`"
    assert hover_text("plain.yaml", "$.question") == "type: `string`"
    assert hover_text("typed.yaml", "$.count") == "type: `integer`"
    assert "input: `{data: unknown, blob_type:" in hover_text("plain.yaml", "/builtin/put_blob")
    assert "Run the step though nothing needs it" in hover_text("tested.yaml", "mustExecute")
    assert hover_text("variables.yaml", "model: {type") == (
        "**variable** `model`\n\ntype: `string`\n\nThe model.\n\nread by `look`"
    )
    assert "read by `second`" in hover_text("typed.yaml", "first\n")
    assert hover_text("map.yaml", MAP.index("$.name}")) == "type: `string`"
    assert hover_text("plain.yaml", "Greets") is None


@flows
def test_outlines(editor: Editor, name: str) -> None:
    symbols = editor.request_for("documentSymbol", name)
    model = analyze(name)[0]
    steps = [each for each in symbols if each["kind"] == 12]
    assert [each["name"] for each in steps] == [each.id for each in model.steps]
    assert "output" in [each["name"] for each in symbols]
    assert texts_of_ranges(FLOWS[name], [each["selectionRange"] for each in steps]) == [
        FLOWS[name][each.node.items["id"].start : each.node.items["id"].end] for each in model.steps
    ]
    for each in symbols:
        assert each["range"]["start"]["line"] <= each["selectionRange"]["start"]["line"]
    inner = [each["name"] for step in steps for each in step["children"] if each["kind"] == 12]
    assert inner == [step.id for each in analyze(name)[1:] for step in each.steps]


@flows
def test_diagnostics_match_validate(editor: Editor, command: Stepflow, name: str) -> None:
    """Errors have the same code, line and message as in `validate`."""
    text = FLOWS[name].replace("/builtin/noop", "/builtin/nop", 1).replace("$step", "$stepp", 1)
    editor.replace(name, text)
    path = command.folder / "faulty" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    done = command("validate", "--offline", str(path), "-o", "json")
    expected = [
        (each["kind"], each["line"], f"{each['message']}{' (' + each['hint'] + ')' if each['hint'] else ''}")
        for each in json.loads(done.stdout)
    ]
    # `validate` runs here without --type-check, and type errors are notes in the editor.
    diagnostics = [each for each in editor.diagnostics(name) if each["severity"] != 3]
    actual = [(each["code"], each["range"]["start"]["line"] + 1, each["message"]) for each in diagnostics]
    assert sorted(actual) == sorted(expected)
    assert expected


@flows
def test_quick_fixes_and_fix_all(editor: Editor, command: Stepflow, name: str) -> None:
    """The corrections of `validate --fix` are offered one by one, and all at once."""
    text = FLOWS[name].replace("component", "compoment", 1).replace("$step", "$stepp", 1)
    uri = editor.uri(name)
    editor.replace(name, text)
    fixes = editor.request_for("codeAction", name, range=WHOLE, context={"diagnostics": []})
    assert all(each["kind"] == "quickfix" and each["diagnostics"] for each in fixes)
    first = next(each for each in fixes if "compoment" in each["title"])
    assert apply_edits(text, first["edit"]["changes"][uri]) == FLOWS[name].replace("$step", "$stepp", 1)
    path = command.folder / "faulty" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    command("validate", "--offline", "--fix", str(path))
    context = {"diagnostics": [], "only": ["source.fixAll"]}
    [fix_all] = editor.request_for("codeAction", name, range=WHOLE, context=context)
    assert apply_edits(text, fix_all["edit"]["changes"][uri]) == path.read_bytes().decode()


def test_suggested_name_is_offered_as_a_quick_fix(editor: Editor) -> None:
    text = PLAIN.replace("$step: ask, path: $.mess", "$step: aks, path: $.mess")
    editor.replace("plain.yaml", text)
    actions = editor.request_for("codeAction", "plain.yaml", range=WHOLE, context={"diagnostics": []})
    [each] = [each for each in actions if "aks" in each["title"]]
    assert each["title"] == "Replace aks with ask"
    assert apply_edits(text, each["edit"]["changes"][editor.uri("plain.yaml")]) == PLAIN


def test_quick_fixes_are_limited_to_the_range_and_kind(editor: Editor) -> None:
    editor.replace("plain.yaml", PLAIN.replace("component", "compoment"))
    line = PLAIN[: PLAIN.index("component")].count("\n")
    where = {"start": {"line": line, "character": 5}, "end": {"line": line, "character": 5}}
    assert len(editor.request_for("codeAction", "plain.yaml", range=where, context={"diagnostics": []})) == 1
    only = {"diagnostics": [], "only": ["refactor"]}
    assert editor.request_for("codeAction", "plain.yaml", range=WHOLE, context=only) == []


def test_changed_references_are_checked_against_the_flow_schema(editor: Editor) -> None:
    editor.replace("typed.yaml", TYPED.replace("$input: $.count", "$input: $.cuont"))
    assert "unknown-input" in editor.rules("typed.yaml")
