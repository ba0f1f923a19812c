"""The language server as a whole: files that are no flows, configurations, settings, positions, and many edits."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.lsp.client import Editor, position, started
from tests.cli.lsp.flows import FLOWS, MAP, PLAIN, SIGNS, TESTED

CONFIG = """\
plugins:
  builtin: {type: builtin}
  shop: {type: mcp, command: python, argz: []}
routes:
  "/builtin": [{plugin: builtin}]
"""
PIECES = (
    "\n", "  ", "- ", ": ", "{", "}", "[", "]", '"', "'", "#", "&a ", "*a", "\t", "\r\n", "\r", "|", "steps:\n", "<<: ",
    "  - id: new\n", "    component: /builtin/noop\n", "{$step: ask}", "$.messages[0]", "\N{ROCKET}", "\u00fc",
    "output: ", "$literal: ", "\N{LINE SEPARATOR}", "\f", "\x00", "\ue000",
)  # fmt: skip


def wanted(name: str, text: str) -> tuple[Any, Any]:
    """Return the diagnostics and the outline of a text by a full check, as they are sent."""
    # Importing these takes half a second, and every process of a test run collects these tests.
    from pygls.protocol import default_converter
    from stepflow_cli.lsp.cursor import DocumentText
    from stepflow_cli.lsp.diagnostics_and_fixes import build_diagnostics
    from stepflow_cli.lsp.document_analysis import ProjectRulesCache, analyze_document
    from stepflow_cli.lsp.navigation import list_symbols

    analysis = analyze_document(name, DocumentText(text), ProjectRulesCache().get_rules(name)).infer_types()
    convert = default_converter().unstructure
    return convert(build_diagnostics(analysis)), convert(list_symbols(analysis))


@pytest.mark.parametrize(
    ("name", "seed"), [("plain.yaml", 1), ("map.yaml", 2), ("signs.yaml", 3), ("flow.json", 4), ("anchors.yaml", 5)]
)
def test_many_edits_leave_editor_and_server_in_agreement(editor: Editor, name: str, seed: int) -> None:
    """After 100 edits of each file, the server knows what a full check of the editor's text finds."""
    source = random.Random(seed)
    uri = editor.uri(name)
    for number in range(100):
        text = editor.texts[uri]
        start = source.randrange(len(text) + 1)
        end = min(len(text), start + source.choice((0, 0, 0, 1, 5, 40)))
        new = source.choice(PIECES) if source.random() < 0.7 else text[end : end + source.randrange(60)]
        editor.edit(name, start, end, new)
        if source.random() < 0.3:
            editor.labels(name, min(start + 1, len(editor.texts[uri])))
        if source.random() < 0.2:
            editor.at("hover", name, start)
        if number % 12 == 0:
            agree(editor, name)
        if source.random() < 0.1:
            editor.replace(name, FLOWS[name])
    agree(editor, name)


def agree(editor: Editor, name: str) -> None:
    diagnostics, outline = wanted(str(editor.folder / name), editor.texts[editor.uri(name)])
    assert editor.about("documentSymbol", name) == outline
    if editor.published[editor.uri(name)][0]["version"] == editor.versions[editor.uri(name)] or diagnostics:
        assert editor.diagnostics(name) == diagnostics


def test_files_that_are_no_flows_are_left_alone(editor: Editor) -> None:
    others = {
        "compose.yaml": "services:\n  web:\n    image: nginx\n    ports: [80:80]\n",
        "package.json": '{"name": "x", "scripts": {}}',
        "broken.yaml": "key: [1, 2\nother: {",
        "notes.yaml": "Buy tea\n- and cups\n",
        "workflow.yaml": "name: CI\non: push\n",
    }
    for name, text in others.items():
        editor.open(name, text)
        assert editor.labels(name, len(text)) == []
        assert editor.at("hover", name, 0) is None
        assert editor.about("documentSymbol", name) == []
    assert not {editor.uri(name) for name in others} & editor.published.keys()


def test_a_file_becomes_a_flow_and_none_again(editor: Editor) -> None:
    editor.open("new.yaml", "")
    editor.replace("new.yaml", "steps:\n  - id: a\n")
    assert editor.rules("new.yaml") == ["missing-key", "no-output", "unused-step"]
    editor.replace("new.yaml", "services: 1\n")
    assert editor.rules("new.yaml") == []


def test_a_closed_file_has_no_diagnostics(editor: Editor) -> None:
    editor.open("closed.yaml", "steps:\n  - id: a\n")
    assert editor.diagnostics("closed.yaml")
    uri = editor.uri("closed.yaml")
    editor.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    editor.labels("plain.yaml", 0)
    assert editor.published[uri][0]["diagnostics"] == []
    assert editor.at("hover", "closed.yaml", 0) is None


def test_a_text_that_is_not_yaml(editor: Editor) -> None:
    """The fault is reported where it is, and the rest of the flow is still known."""
    text = PLAIN.replace("    component: /builtin/put_blob", "    component: /builtin/put_blob: x")
    editor.replace("plain.yaml", text)
    [found] = editor.diagnostics("plain.yaml")
    assert (found["code"], found["severity"]) == ("syntax", 1)
    assert found["range"]["start"]["line"] == text[: text.index(": x")].count("\n")
    assert [each["name"] for each in editor.about("documentSymbol", "plain.yaml")] == ["ask", "keep", "output"]
    assert "read by `keep`" in editor.at("hover", "plain.yaml", "ask")["contents"]["value"]


def test_no_default_makes_a_check_hang(editor: Editor) -> None:
    both = ", ".join(["{$ref: '#/schemas/$defs/T%d'}"] * 2)
    nested = "".join(f"    T{number - 1}: {{anyOf: [{both % (number, number)}]}}\n" for number in range(1, 31))
    text = (
        f"steps: []\noutput: 1\nschemas:\n  $defs:\n{nested}    T30: {{type: string}}\n  properties:\n    input:\n"
        f"      properties:\n        words: {{pattern: '^(\\w+\\s?)*$', default: '{'a' * 41}!'}}\n"
        "        nested: {$ref: '#/schemas/$defs/T0', default: 5}\n"
    )
    editor.open("words.yaml", text)
    assert editor.rules("words.yaml").count("default-type") == 2
    assert [each["name"] for each in editor.about("documentSymbol", "words.yaml")] == ["output"]


@pytest.mark.parametrize(("name", "text"), [
    ("large.yaml", "output: 1\nsteps:\n" + "- {id: a, component: /builtin/noop}\n" * 40_000),
    ("large.json", json.dumps({"steps": [{"id": "a", "component": "/builtin/noop"}] * 30_000, "output": 1})),
    ("stepflow-config.yml", "plugins:\n" + "  a: {type: builtin}\n" * 60_000),
])  # fmt: skip
def test_a_large_document_has_one_diagnostic(editor: Editor, name: str, text: str) -> None:
    editor.open(name, text)
    assert editor.rules(name) == ["too-large"]
    assert editor.at("hover", name, 0) is None
    assert editor.labels(name, len(text)) == []
    assert editor.about("documentSymbol", name) == []
    editor.replace(name, "output: 1\nsteps: []\n")
    assert "too-large" not in editor.rules(name)
    editor.replace(name, "no: flow\n" + "- x\n" * 300_000)
    assert editor.about("documentSymbol", name) == []


def test_a_server_configuration(editor: Editor) -> None:
    editor.open("stepflow-config.yml", CONFIG)
    found = [(each["code"], each["severity"], each["message"]) for each in editor.diagnostics("stepflow-config.yml")]
    assert found == [("configuration", 2, "unknown field 'argz' (did you mean 'args'?)")]
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
    [fix] = editor.about("codeAction", "stepflow-config.yml", range=whole, context={"diagnostics": []})
    assert fix["title"] == "Replace argz with args"
    start = CONFIG.index("builtin}")
    editor.edit("stepflow-config.yml", start, start + 7, "")
    assert {"mock", "grpc"} <= {*editor.labels("stepflow-config.yml", start)}
    assert "error" not in editor.at("hover", "stepflow-config.yml", "routes")["contents"]["value"]


def test_a_configuration_with_objects_as_keys_is_not_refused(editor: Editor) -> None:
    """The inputs of mocks are keys, which only servers read."""
    behavior = "        behaviors:\n          {sku: tea}: {outcome: success, result: 3}\n"
    text = "plugins:\n  mock:\n    type: mock\n    components:\n      /price:\n" + behavior
    editor.open("stepflow-config.test.yml", text)
    assert editor.diagnostics("stepflow-config.test.yml") == []


def test_columns_count_utf_16(editor: Editor) -> None:
    """Two rockets before a place are four units."""
    text = SIGNS.replace("/builtin/noop", "/builtin/nop", 1)
    editor.replace("signs.yaml", text)
    [found] = editor.diagnostics("signs.yaml")
    assert found["range"]["start"] == position(text, text.index("/builtin/nop"))
    line = text[: text.index("/builtin/nop")].rpartition("\n")[2]
    assert found["range"]["start"]["character"] == len(line) + 1


@pytest.mark.parametrize(("offered", "unit"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_the_encoding_that_is_agreed_on(folder: Path, command: Stepflow, offered: str, unit: int) -> None:
    text = 'steps:\n  - {metadata: {"\N{ROCKET}": 1}, id: a, component: /builtin/nop, mustExecute: true}\noutput: 1\n'
    with started(folder, command.environment, encodings=[offered]) as editor:
        assert editor.initialized["capabilities"]["positionEncoding"] == offered
        editor.open("encoded.yaml", text)
        [found] = editor.diagnostics("encoded.yaml")
    line = text.split("\n")[1]
    assert found["range"]["start"]["character"] == line.index("/builtin/nop") - 1 + unit


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_and_offsets(encoding: str) -> None:
    from lsprotocol import types
    from stepflow_cli.lsp.cursor import DocumentText

    text = DocumentText("a\N{ROCKET}\u00fc\r\nb\rc\u2028d\n", encoding)
    for offset in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11):
        assert text.to_offset(text.to_position(offset)) == offset
    assert [text.to_position(each).line for each in (0, 4, 5, 7, 10, 11)] == [0, 0, 1, 2, 2, 3]
    # Behind the end of a line, of the text, and in the middle of a character.
    assert text.to_offset(types.Position(0, 99)) == 3
    assert text.to_offset(types.Position(99, 0)) == 11
    assert text.to_offset(types.Position(0, 2)) == (1 if encoding != "utf-32" else 2)


def test_settings_and_components_of_the_project(tmp_path: Path, command: Stepflow) -> None:
    """The lock file and the settings beside the flow and above are used, and read again after a save."""
    step = "  - id: p\n    component: /shop/price\n    input: {skuu: 1}\n"
    flow = f"name: a\ndescription: b\nsteps:\n{step}output: {{$step: p}}\n"
    inner = tmp_path / "flows" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    record = {
        "name": "price", "path": "/shop/price", "plugin": "shop", "description": "The price of a *thing*.",
        "input_schema": {"type": "object", "properties": {"sku": {"type": "string", "description": "Which."}},
                         "required": ["sku"]},
        "output_schema": {"type": "object", "properties": {"eur": {"type": "number"}}, "required": ["eur"]},
    }  # fmt: skip
    with started(tmp_path, command.environment) as editor:
        editor.open("flows/deep/a.yaml", flow)
        assert editor.rules("flows/deep/a.yaml") == []
        (tmp_path / "stepflow-components.json").write_text(json.dumps([record]))
        (tmp_path / "stepflow.toml").write_text('components = "stepflow-components.json"\n')
        saved(editor)
        assert "component-input" in editor.rules("flows/deep/a.yaml")
        assert "/shop/price" in editor.labels("flows/deep/a.yaml", "/shop")
        start = flow.index("skuu")
        assert editor.labels("flows/deep/a.yaml", start)[0] == "sku"
        told = editor.at("hover", "flows/deep/a.yaml", "/shop")["contents"]["value"]
        assert "The price of a \\*thing\\*." in told
        editor.edit("flows/deep/a.yaml", flow.index("p}"), flow.index("p}") + 1, "p, path: $.")
        assert "$.eur" in editor.labels("flows/deep/a.yaml", flow.index("p}") + len("p, path: $."))
        editor.replace("flows/deep/a.yaml", flow)
        with (tmp_path / "stepflow.toml").open("a") as settings:
            settings.write('[validate]\nignore = ["component-input"]\n')
        saved(editor)
        assert editor.rules("flows/deep/a.yaml") == []


def saved(editor: Editor) -> None:
    """Save a file, and wait for the diagnostics after that."""
    number = editor.number_published
    editor.notify("textDocument/didSave", {"textDocument": {"uri": editor.uri("flows/deep/a.yaml")}})
    while editor.number_published == number:
        editor.handle_next()
    # Completions use what is known; this waits until everything is.
    editor.about("documentSymbol", "flows/deep/a.yaml")


def test_types_are_notes_unless_they_are_asked_for(editor: Editor, folder: Path, command: Stepflow) -> None:
    """Errors that only types show are of the level of `validate --type-check` with the option; else, they are notes."""
    text = MAP.replace("{$input: $.name}", "{$input: $.nme}")
    editor.replace("map.yaml", text)
    assert [(each["code"], each["severity"]) for each in editor.diagnostics("map.yaml")] == [("unknown-input", 3)]
    # The output of an unknown component is no fault of the flow.
    unknown = PLAIN.replace("/builtin/put_blob", "/shop/keep").replace(", path: $.blob_id", "")
    editor.replace("plain.yaml", unknown)
    assert editor.rules("plain.yaml") == []
    with started(folder, command.environment, "--type-check", "--stdio") as strict:
        strict.open("typed.yaml", text)
        assert [(each["code"], each["severity"]) for each in strict.diagnostics("typed.yaml")] == [("unknown-input", 1)]
        strict.open("plain.yaml", unknown)
        assert strict.rules("plain.yaml") == ["untyped-output"]


def test_the_lens_of_a_case_has_the_arguments_of_the_command(editor: Editor, folder: Path, command: Stepflow) -> None:
    assert editor.about("codeLens", "tested.yaml") == []
    case = TESTED[TESTED.index("    - name: tea\n") :]
    text = f"{TESTED}{case}".replace("- name: tea\n", "- name: t*a\n", 1).replace("/shop/price", "/builtin/noop")
    (folder / "cases").mkdir()
    (folder / "cases" / "flow.yaml").write_text(text)
    with started(folder, command.environment, options={"runCases": True}) as other:
        other.open("cases/flow.yaml", text)
        lens, _ = other.about("codeLens", "cases/flow.yaml")
    assert (lens["command"]["title"], lens["command"]["command"]) == ("run this case", "stepflow.runCase")
    assert lens["range"]["start"] == position(text, text.index("t*a"))
    done = command("test", *lens["command"]["arguments"])
    assert (done.code, "1 passed" in done.stdout) == (0, True), done


def test_a_settings_file_that_is_wrong_is_told_in_the_log(tmp_path: Path, command: Stepflow) -> None:
    (tmp_path / "stepflow.toml").write_text("[validate]\nselekt = []\n")
    editor = Editor(tmp_path, command.environment)
    try:
        editor.open("a.yaml", PLAIN)
        assert editor.diagnostics("a.yaml") == []
        assert "unknown key validate.selekt" in editor.log()
    finally:
        editor.kill()


def test_without_the_extra(stepflow: Stepflow, golden: Golden) -> None:
    with_it = stepflow("lsp", "--components", "hello.yaml")
    (stepflow.home / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pygls' else find(name, *more)\n"
    )
    stepflow.environment["PYTHONPATH"] = str(stepflow.home)
    golden(stepflow("lsp"), with_it)


def test_other_commands_do_not_load_it(stepflow: Stepflow) -> None:
    program = "import sys, stepflow_cli.main as m; m.cli.get_command(None, 'lsp'); print('pygls' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_large_flow_is_completed_while_it_is_checked(editor: Editor) -> None:
    """Completions do not wait for the check of 200 steps, and know steps that were there before."""
    steps = "".join(
        f"  - id: step{i}\n    component: /builtin/noop\n    input: {{x: {{$step: step{max(i - 1, 0)}}}}}\n"
        for i in range(200)
    )
    text = f"name: large\ndescription: x\nsteps:\n{steps}output: {{$step: step199}}\n"
    editor.open("large.yaml", text)
    editor.diagnostics("large.yaml")
    start = text.rindex("$step: step198") + len("$step: ")
    for typed in ("s", "ste", "step19"):
        editor.edit("large.yaml", start, start + len("step198"), typed)
        assert "step197" in editor.labels("large.yaml", start + len(typed))
        editor.edit("large.yaml", start, start + len(typed), "step198")
    assert editor.rules("large.yaml") == ["self-reference"]
