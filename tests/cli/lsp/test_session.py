"""While a flow is written, the right completion is among the first ones, and quick fixes make it valid."""

from __future__ import annotations

import pytest

from tests.cli.lsp.client import Editor, Json, apply_edits

_HEAD = """\
name: greet
schemas:
  properties:
    input:
      type: object
      properties: {question: {type: string}, lang: {type: string}}
      required: [question]
    variables: {type: object, properties: {tone: {type: string, default: warm}}}
steps:
  - id: ask
    component: /builtin/create_messages
    input: {user_prompt: {$input: $.question}, system_instructions: {$variable: tone}}
"""
_STEP = "  - id: keep\n    component: /builtin/put_blob\n"
_WHOLE = f"{_HEAD}output: {{$step: ask}}\n"
_CASE = "test:\n  cases:\n    - name: one\n      input: {question: hi}\n"
_MAX_SHOWN = 5
WHOLE = {"start": {"line": 0, "character": 0}, "end": {"line": 999, "character": 0}}


def shown_completions(editor: Editor, name: str, text: str) -> list[str]:
    """Return the first completions that an editor shows at the mark ‸, filtered by the characters typed before it."""
    offset = text.index("‸")
    editor.open(name, text.replace("‸", ""))
    items: list[Json] = editor.request_at("completion", name, offset)["items"]
    items.sort(key=lambda each: each["sortText"])
    start = {each["textEdit"]["range"]["start"]["character"] for each in items}
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    typed = line[min(start, default=0) :].lower()

    def has_typed(label: str) -> bool:
        letters = iter(label.lower())
        return all(letter in letters for letter in typed)

    return [each["label"] for each in items if has_typed(each["filterText"])][:_MAX_SHOWN]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("‸", ["flow", "name", "steps"]),
        ("st‸", ["steps"]),
        ("name: x\n‸", ["description", "schemas", "steps"]),
        ("name: x\nschemas:\n  properties:\n    ‸", ["input", "output", "variables"]),
        ("name: x\nsteps:\n  ‸", ["- id"]),
        (f"{_HEAD}  - ‸", ["id"]),
        (f"{_HEAD}  - id: keep\n    ‸", ["component", "input", "onError"]),
        (f"{_HEAD}  - id: keep\n    component: /builtin/put‸", ["/builtin/put_blob"]),
        (f"{_HEAD}{_STEP}    input:\n      ‸", ["data", "blob_type"]),
        (f"{_HEAD}{_STEP}    input:\n      data: ‸", ["{$step: ask}", "{$input: $.question}"]),
        (f"{_HEAD}{_STEP}    input:\n      blob_type: ‸", ["data", "flow"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{‸", ["$step", "$input", "$variable", "$if"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{$step: ‸", ["ask"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{$step: ask, ‸", ["path"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{$step: ask, path: ‸", ["$.messages", "$.messages[0].content"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{$input: ‸", ["$.question", "$.lang"]),
        (f"{_HEAD}{_STEP}    input: {{data: {{$variable: ‸", ["tone"]),
        (f"{_HEAD}{_STEP}    on‸", ["onError"]),
        (f"{_HEAD}{_STEP}    onError: {{action: ‸", ["fail", "useDefault", "retry"]),
        (f"{_HEAD}out‸", ["output"]),
        (f"{_HEAD}output: ‸", ["{$step: ask}"]),
        (f"{_WHOLE}‸", ["description", "test", "examples"]),
        (f"{_WHOLE}test:\n  ‸", ["cases"]),
        (f"{_WHOLE}test:\n  cases:\n    ‸", ["- name"]),
        (f"{_WHOLE}test:\n  cases:\n    - name: one\n      input:\n        ‸", ["question", "lang"]),
        (f"{_WHOLE}{_CASE}      mocks: {{‸", ["ask"]),
        (f"{_WHOLE}{_CASE}      mocks: {{ask: {{outcome: success, result: {{‸", ["messages"]),
        (f"{_WHOLE}{_CASE}      output: {{outcome: success, result: {{‸", ["messages"]),
        (f"{_WHOLE}{_CASE}      output: {{outcome: success, result: {{messages: {{$‸", ["$any", "$contains", "$regex"]),
        (f"{_WHOLE}{_CASE}      output: {{outcome: ‸", ["success", "failed"]),
    ],
)  # fmt: skip
def test_expected_completions_are_in_the_first_five(editor: Editor, text: str, expected: list[str]) -> None:
    labels = shown_completions(editor, "session.yaml", text)
    assert [each for each in expected if each not in labels] == [], labels


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("{$step: ask}", "{step: ask}"),
        ("{$step: ask}", "'{$step: ask}'"),
        ("{$input: $.question}", "'{{ input.question }}'"),
        ("{$input: $.question}", "{$input: $question}"),
        ("{$step: ask}", "{$step: aks}"),
        ("{$step: ask}", '{$step: ask, path: $.messages[0]}'),
        ("    component: /builtin/create_messages\n", ""),
        ("  - id: ask\n    component", "  - component"),
        ("{user_prompt: {$input: $.question}, ", "{"),
        (", system_instructions: {$variable: tone}", ""),
        ("output:", "  - {id: other, component: /builtin/noop}\noutput:"),
        ("output:", "    mustExecute: 'yes'\noutput:"),
        ("output:", "    onError: retry\noutput:"),
        ("output: {$step: ask}\n", ""),
        ("output: {$step: ask}", "output: {$step: ask"),
        ("question: {type: string}", "question: string"),
        ("name: greet", "nmae: greet"),
        (_CASE, _CASE + "      output: {result: 1}\n"),
    ],
)  # fmt: skip
def test_first_quick_fix_makes_the_flow_valid(editor: Editor, right: str, wrong: str) -> None:
    """Each of these diagnostics suggests an edit, so its first fix applies that edit."""
    whole = _WHOLE + _CASE
    assert right in whole
    text = whole.replace(right, wrong, 1)
    name, uri = "fixed.yaml", editor.uri("fixed.yaml")
    editor.open(name, text)
    assert [each for each in editor.diagnostics(name) if each["severity"] < 3]
    actions = editor.request_for("codeAction", name, range=WHOLE, context={"diagnostics": []})
    new = apply_edits(text, actions[0]["edit"]["changes"][uri])
    editor.replace(name, new)
    assert [each for each in editor.diagnostics(name) if each["severity"] < 3] == [], (actions[0]["title"], new)


def test_completions_can_write_a_whole_flow(editor: Editor) -> None:
    """Starting from an empty file, add a flow snippet, another step and a test case; the result is valid."""
    name = "written.yaml"
    uri = editor.uri(name)
    editor.open(name, "")
    editor.accept(name, 0, "flow")
    # Completions may still use the previous text: wait until the server has analyzed the new step.
    assert len(editor.request_for("documentSymbol", name)) == 2
    at = editor.texts[uri].index("output:")
    editor.edit(name, at, at, "  - \n")
    editor.accept(name, at + 4, "id")
    assert len(editor.request_for("documentSymbol", name)) == 3
    at = editor.texts[uri].index("input: \n", at) + len("input: ")
    editor.accept(name, at, "{$step: ask}")
    at = editor.texts[uri].rindex("output: ") + len("output: ")
    editor.edit(name, at, len(editor.texts[uri]), "\nte")
    editor.accept(name, at, "{$step: name}")
    editor.accept(name, len(editor.texts[uri]), "test")
    at = editor.texts[uri].index("input: {}") + len("input: {")
    editor.accept(name, at, "question")
    editor.edit(name, at + len("question: "), at + len("question: "), "hi")
    assert [each["message"] for each in editor.diagnostics(name) if each["severity"] < 3] == []
    assert [each["name"] for each in editor.request_for("documentSymbol", name)] == ["ask", "name", "output", "usual"]
