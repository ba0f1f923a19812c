"""The language server handles many edits, other files, configurations, settings and position encodings."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stepflow_cli.signals import STOP

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


def full_check(name: str, text: str) -> tuple[Any, Any]:
    """Return the diagnostics and outline from a full check of a text, in their wire format."""
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
def test_server_stays_in_sync_after_many_edits(editor: Editor, name: str, seed: int) -> None:
    """After 100 edits of each file, the server's results match a full check of the editor's text."""
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
            editor.request_at("hover", name, start)
        if number % 12 == 0:
            check_in_sync(editor, name)
        if source.random() < 0.1:
            editor.replace(name, FLOWS[name])
    check_in_sync(editor, name)


def check_in_sync(editor: Editor, name: str) -> None:
    diagnostics, outline = full_check(str(editor.folder / name), editor.texts[editor.uri(name)])
    assert editor.request_for("documentSymbol", name) == outline
    if editor.published[editor.uri(name)][0]["version"] == editor.versions[editor.uri(name)] or diagnostics:
        assert editor.diagnostics(name) == diagnostics


def test_other_files_are_ignored(editor: Editor) -> None:
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
        assert editor.request_at("hover", name, 0) is None
        assert editor.request_for("documentSymbol", name) == []
    assert not {editor.uri(name) for name in others} & editor.published.keys()


def test_file_becomes_a_flow_and_stops_being_one(editor: Editor) -> None:
    editor.open("new.yaml", "")
    editor.replace("new.yaml", "steps:\n  - id: a\n")
    assert editor.rules("new.yaml") == ["missing-key", "no-output", "unused-step"]
    editor.replace("new.yaml", "services: 1\n")
    assert editor.rules("new.yaml") == []


def test_closed_file_has_no_diagnostics(editor: Editor) -> None:
    editor.open("closed.yaml", "steps:\n  - id: a\n")
    assert editor.diagnostics("closed.yaml")
    uri = editor.uri("closed.yaml")
    editor.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    editor.labels("plain.yaml", 0)
    assert editor.published[uri][0]["diagnostics"] == []
    assert editor.request_at("hover", "closed.yaml", 0) is None


def test_yaml_syntax_error(editor: Editor) -> None:
    """The error is reported at its line, and the rest of the flow is still analyzed."""
    text = PLAIN.replace("    component: /builtin/put_blob", "    component: /builtin/put_blob: x")
    editor.replace("plain.yaml", text)
    [diagnostic] = editor.diagnostics("plain.yaml")
    assert (diagnostic["code"], diagnostic["severity"]) == ("syntax", 1)
    assert diagnostic["range"]["start"]["line"] == text[: text.index(": x")].count("\n")
    assert [each["name"] for each in editor.request_for("documentSymbol", "plain.yaml")] == ["ask", "keep", "output"]
    assert "read by `keep`" in editor.request_at("hover", "plain.yaml", "ask")["contents"]["value"]


def test_syntax_error_after_line_separators(editor: Editor) -> None:
    """PyYAML counts them as the ends of lines, so the error's line is past the end of the text."""
    editor.replace("plain.yaml", f"# {chr(0x2028)}{chr(0x85)}\noutput: 1\noutput: 2")
    [diagnostic] = editor.diagnostics("plain.yaml")
    assert "appears twice" in diagnostic["message"]


def test_expensive_schemas_do_not_hang_the_check(editor: Editor) -> None:
    both = ", ".join(["{$ref: '#/schemas/$defs/T%d'}"] * 2)
    nested = "".join(f"    T{number - 1}: {{anyOf: [{both % (number, number)}]}}\n" for number in range(1, 31))
    text = (
        f"steps: []\noutput: 1\nschemas:\n  $defs:\n{nested}    T30: {{type: string}}\n  properties:\n    input:\n"
        f"      properties:\n        words: {{pattern: '^(\\w+\\s?)*$', default: '{'a' * 41}!'}}\n"
        "        nested: {$ref: '#/schemas/$defs/T0', default: 5}\n"
    )
    editor.open("words.yaml", text)
    assert editor.rules("words.yaml").count("default-type") == 2
    assert [each["name"] for each in editor.request_for("documentSymbol", "words.yaml")] == ["output"]


@pytest.mark.parametrize(("name", "text"), [
    ("large.yaml", "output: 1\nsteps:\n" + "- {id: a, component: /builtin/noop}\n" * 40_000),
    ("large.json", json.dumps({"steps": [{"id": "a", "component": "/builtin/noop"}] * 30_000, "output": 1})),
    ("stepflow-config.yml", "plugins:\n" + "  a: {type: builtin}\n" * 60_000),
])  # fmt: skip
def test_too_large_document_has_one_diagnostic(editor: Editor, name: str, text: str) -> None:
    editor.open(name, text)
    assert editor.rules(name) == ["too-large"]
    assert editor.request_at("hover", name, 0) is None
    assert editor.labels(name, len(text)) == []
    assert editor.request_for("documentSymbol", name) == []
    editor.replace(name, "output: 1\nsteps: []\n")
    assert "too-large" not in editor.rules(name)
    editor.replace(name, "no: flow\n" + "- x\n" * 300_000)
    assert editor.request_for("documentSymbol", name) == []


def test_server_configuration(editor: Editor) -> None:
    editor.open("stepflow-config.yml", CONFIG)
    diagnostics = [
        (each["code"], each["severity"], each["message"]) for each in editor.diagnostics("stepflow-config.yml")
    ]
    assert diagnostics == [("configuration", 2, "unknown field 'argz' (did you mean 'args'?)")]
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
    [fix] = editor.request_for("codeAction", "stepflow-config.yml", range=whole, context={"diagnostics": []})
    assert fix["title"] == "Replace argz with args"
    start = CONFIG.index("builtin}")
    editor.edit("stepflow-config.yml", start, start + 7, "")
    assert {"mock", "grpc"} <= {*editor.labels("stepflow-config.yml", start)}
    assert "error" not in editor.request_at("hover", "stepflow-config.yml", "routes")["contents"]["value"]


def test_configuration_may_have_objects_as_keys(editor: Editor) -> None:
    """Mock behaviors have inputs as keys, which servers accept."""
    behavior = "        behaviors:\n          {sku: tea}: {outcome: success, result: 3}\n"
    text = "plugins:\n  mock:\n    type: mock\n    components:\n      /price:\n" + behavior
    editor.open("stepflow-config.test.yml", text)
    assert editor.diagnostics("stepflow-config.test.yml") == []


def test_columns_count_utf_16(editor: Editor) -> None:
    """A rocket counts as two UTF-16 code units."""
    text = SIGNS.replace("/builtin/noop", "/builtin/nop", 1)
    editor.replace("signs.yaml", text)
    [diagnostic] = editor.diagnostics("signs.yaml")
    assert diagnostic["range"]["start"] == position(text, text.index("/builtin/nop"))
    line = text[: text.index("/builtin/nop")].rpartition("\n")[2]
    assert diagnostic["range"]["start"]["character"] == len(line) + 1


@pytest.mark.parametrize(("offered", "unit"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_negotiated_position_encoding(folder: Path, command: Stepflow, offered: str, unit: int) -> None:
    text = 'steps:\n  - {metadata: {"\N{ROCKET}": 1}, id: a, component: /builtin/nop, mustExecute: true}\noutput: 1\n'
    with started(folder, command.environment, encodings=[offered]) as editor:
        assert editor.initialized["capabilities"]["positionEncoding"] == offered
        editor.open("encoded.yaml", text)
        [diagnostic] = editor.diagnostics("encoded.yaml")
    line = text.split("\n")[1]
    assert diagnostic["range"]["start"]["character"] == line.index("/builtin/nop") - 1 + unit


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_and_offsets(encoding: str) -> None:
    from lsprotocol import types
    from stepflow_cli.lsp.cursor import DocumentText

    text = DocumentText("a\N{ROCKET}\u00fc\r\nb\rc\u2028d\n", encoding)
    for offset in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11):
        assert text.to_offset(text.to_position(offset)) == offset
    assert [text.to_position(each).line for each in (0, 4, 5, 7, 10, 11)] == [0, 0, 1, 2, 2, 3]
    # Past the end of a line, past the end of the text, and in the middle of a character.
    assert text.to_offset(types.Position(0, 99)) == 3
    assert text.to_offset(types.Position(99, 0)) == 11
    assert text.to_offset(types.Position(0, 2)) == (1 if encoding != "utf-32" else 2)


def test_project_settings_and_lock_file_are_used(tmp_path: Path, command: Stepflow) -> None:
    """Settings and the lock file are found in parent folders, and are reloaded after a save."""
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
        save_and_wait(editor)
        assert "component-input" in editor.rules("flows/deep/a.yaml")
        assert "/shop/price" in editor.labels("flows/deep/a.yaml", "/shop")
        start = flow.index("skuu")
        assert editor.labels("flows/deep/a.yaml", start)[0] == "sku"
        hover = editor.request_at("hover", "flows/deep/a.yaml", "/shop")["contents"]["value"]
        assert "The price of a \\*thing\\*." in hover
        editor.edit("flows/deep/a.yaml", flow.index("p}"), flow.index("p}") + 1, "p, path: $.")
        assert "$.eur" in editor.labels("flows/deep/a.yaml", flow.index("p}") + len("p, path: $."))
        editor.replace("flows/deep/a.yaml", flow)
        with (tmp_path / "stepflow.toml").open("a") as settings:
            settings.write('[validate]\nignore = ["component-input"]\n')
        save_and_wait(editor)
        assert editor.rules("flows/deep/a.yaml") == []


def save_and_wait(editor: Editor) -> None:
    """Save the flow and wait for the diagnostics that follow."""
    publish_count = editor.publish_count
    editor.notify("textDocument/didSave", {"textDocument": {"uri": editor.uri("flows/deep/a.yaml")}})
    while editor.publish_count == publish_count:
        editor.handle_next()
    # Completions may still use older results: wait until the analysis is complete.
    editor.request_for("documentSymbol", "flows/deep/a.yaml")


def test_type_errors_are_notes_unless_type_check_is_set(editor: Editor, folder: Path, command: Stepflow) -> None:
    """With --type-check, type errors have the same severity as in `validate --type-check`."""
    text = MAP.replace("{$input: $.name}", "{$input: $.nme}")
    editor.replace("map.yaml", text)
    assert [(each["code"], each["severity"]) for each in editor.diagnostics("map.yaml")] == [("unknown-input", 3)]
    # The output of an unknown component is not an error of the flow.
    unknown = PLAIN.replace("/builtin/put_blob", "/shop/keep").replace(", path: $.blob_id", "")
    editor.replace("plain.yaml", unknown)
    assert editor.rules("plain.yaml") == []
    with started(folder, command.environment, "--type-check", "--stdio") as strict:
        strict.open("typed.yaml", text)
        assert [(each["code"], each["severity"]) for each in strict.diagnostics("typed.yaml")] == [("unknown-input", 1)]
        strict.open("plain.yaml", unknown)
        assert strict.rules("plain.yaml") == ["untyped-output"]


def test_code_lens_of_a_case_has_arguments_for_stepflow_test(editor: Editor, folder: Path, command: Stepflow) -> None:
    assert editor.request_for("codeLens", "tested.yaml") == []
    case = TESTED[TESTED.index("    - name: tea\n") :]
    text = f"{TESTED}{case}".replace("- name: tea\n", "- name: t*a\n", 1).replace("/shop/price", "/builtin/noop")
    (folder / "cases").mkdir()
    (folder / "cases" / "flow.yaml").write_text(text)
    with started(folder, command.environment, options={"runCases": True}) as other:
        other.open("cases/flow.yaml", text)
        lens, _ = other.request_for("codeLens", "cases/flow.yaml")
    assert (lens["command"]["title"], lens["command"]["command"]) == ("run this case", "stepflow.runCase")
    assert lens["range"]["start"] == position(text, text.index("t*a"))
    result = command("test", *lens["command"]["arguments"])
    assert (result.code, "1 passed" in result.stdout) == (0, True), result


def test_invalid_settings_file_is_logged(tmp_path: Path, command: Stepflow) -> None:
    (tmp_path / "stepflow.toml").write_text("[validate]\nselekt = []\n")
    editor = Editor(tmp_path, command.environment)
    try:
        editor.open("a.yaml", PLAIN)
        assert editor.diagnostics("a.yaml") == []
        assert "unknown key validate.selekt" in editor.log()
    finally:
        editor.kill()


def test_without_the_extra(stepflow: Stepflow, golden: Golden) -> None:
    with_extra = stepflow("lsp", "--components", "hello.yaml")
    (stepflow.home / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'pygls' else find(name, *more)\n"
    )
    stepflow.environment["PYTHONPATH"] = str(stepflow.home)
    golden(stepflow("lsp"), with_extra)


def test_other_commands_do_not_import_pygls(stepflow: Stepflow) -> None:
    program = "import sys, stepflow_cli.main as m; m.cli.get_command(None, 'lsp'); print('pygls' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("signal_number", STOP)
def test_signal_stops_it_while_it_waits_for_messages(
    folder: Path, command: Stepflow, signal_number: signal.Signals
) -> None:
    editor = Editor(folder, command.environment)
    try:
        # Once it has answered this, it waits for the next message.
        editor.request_for("hover", "plain.yaml", position={"line": 0, "character": 0})
        assert (editor.stop(signal_number), editor.log()) == (0, "")
    finally:
        editor.kill()


def test_completions_do_not_wait_for_a_check(editor: Editor) -> None:
    """While 200 steps are checked, completions use the steps from before the edit."""
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
