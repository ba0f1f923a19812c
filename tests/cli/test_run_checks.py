"""`run` and `submit` check the flow before sending it, with the same errors as `validate`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from stepflow_client import InvalidArgumentError, SyncStepflowClient

from tests.cli.command import Stepflow

NOWHERE = ("--url", "http://127.0.0.1:9")
GOOD = {"name": "good", "steps": [{"id": "a", "component": "/builtin/noop", "input": 1}], "output": {"$step": "a"}}
BAD = """\
name: bad
steps:
  - id: a
    component: /builtin/noop
    inptu: 1
output: {$step: b}
"""


def test_invalid_input_has_the_same_error_as_in_the_client(stepflow: Stepflow) -> None:
    schema = {"properties": {"input": {"required": ["name"], "properties": {"name": {"type": "string"}}}}}
    (stepflow.folder / "typed.json").write_text(json.dumps({**GOOD, "schemas": schema}))
    with SyncStepflowClient(NOWHERE[1]) as client, pytest.raises(InvalidArgumentError) as raised:
        client.run(stepflow.folder / "typed.json", {"nam": "Ada"})
    hint = f"{str(raised.value.hint).rpartition('; ')[0]}; use --no-check to run it anyway"
    for command in ("run", "submit"):
        done = stepflow(command, "typed.json", "--input-json", '{"nam": "Ada"}', *NOWHERE)
        assert (done.code, done.stderr) == (2, f"stepflow: {raised.value.message}\nhint: {hint}\n")


def test_catastrophic_pattern_does_not_hang_the_check(stepflow: Stepflow) -> None:
    words_schema = {"type": "string", "pattern": r"^(\w+\s?)*$", "default": "a" * 41 + "!"}
    schema = {"properties": {"input": {"properties": {"words": words_schema}}}}
    (stepflow.folder / "words.json").write_text(json.dumps({**GOOD, "schemas": schema}))
    input_json = json.dumps({"words": words_schema["default"]})
    done = stepflow("run", "words.json", "--input-json", input_json, "--timeout", "3", *NOWHERE)
    assert (done.code, "matches" in done.stderr) == (2, True)
    assert "[default-type]" in stepflow("validate", "--offline", "words.json").stdout


@pytest.mark.parametrize("command", ["run", "submit"])
def test_errors_match_validate(command: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "bad.yaml").write_text(BAD)
    validated = stepflow("validate", "--offline", "bad.yaml")
    errors = [part for part in validated.stdout.split("bad.yaml:")[1:] if ": warning: " not in part]
    done = stepflow(command, "bad.yaml", *NOWHERE)
    assert (done.code, done.stdout) == (3, "")
    summary = "stepflow: bad.yaml is invalid: 1 fatal error, 1 error\nhint: use --no-check to send it anyway\n"
    assert done.stderr == "".join(f"bad.yaml:{each}" for each in errors) + summary
    assert "bad.yaml:6:17: fatal: the output refers to step 'b', which does not exist" in done.stderr
    assert stepflow(command, "bad.yaml", *NOWHERE, "--no-check").code == 4


def test_errors_as_json(stepflow: Stepflow) -> None:
    (stepflow.folder / "bad.yaml").write_text(BAD)
    problem = json.loads(stepflow("run", "bad.yaml", *NOWHERE, "-o", "json").stderr)
    assert (problem["kind"], problem["exit_code"]) == ("invalid_flow", 3)
    assert [(each["kind"], each["line"], each["column"]) for each in problem["diagnostics"]] == [
        ("undefined-step", 6, 17),
        ("unknown-key", 5, 5),
    ]


def test_positions_in_json_flows(stepflow: Stepflow) -> None:
    (stepflow.folder / "bad.json").write_text(json.dumps(GOOD | {"output": {"$step": "b"}}, indent=1))
    done = stepflow("run", "bad.json", *NOWHERE)
    assert done.stderr.startswith("bad.json:11:12: fatal: the output refers to step 'b', which does not exist")
    piped = stepflow("run", "-", *NOWHERE, stdin=json.dumps({"output": {"$step": "b"}}))
    assert piped.stderr.startswith("-:1:22: fatal: ")


@pytest.mark.parametrize(
    ("flow", "more"),
    [
        pytest.param("output: 1\nsteps: [{id: unused, component: /builtin/noop}]\n", (), id="warnings"),
        pytest.param("output: 1\ntest: {cases: [{name: a, inptu: 1}]}\n", (), id="test cases"),
        pytest.param(BAD, ("--up-to", "c"), id="other steps"),
        pytest.param(
            "output: {$step: a}\nsteps: [{id: a, component: /builtin/create_messages, input: {prompt: 1}}]\n",
            ("--set", "a.input.user_prompt=hi", "--set", "a.input.prompt=null"),
            id="overridden",
        ),
        pytest.param(
            "output: 1\nsteps: [{id: a, component: /builtin/noop, inptu: 1}]  # stepflow: ignore\n", (), id="ignored"
        ),
    ],
)
def test_diagnostics_that_do_not_concern_the_run_are_ignored(
    flow: str, more: tuple[str, ...], stepflow: Stepflow
) -> None:
    flow = flow.replace("steps:\n", "steps:\n  - {id: c, component: /builtin/noop}\n")
    (stepflow.folder / "flow.yaml").write_text(flow)
    done = stepflow("run", "flow.yaml", *NOWHERE, *more)
    assert (done.code, done.stderr.count("\n")) == (4, 3), done.stderr


def test_settings_of_validate_apply(stepflow: Stepflow) -> None:
    (stepflow.folder / "bad.yaml").write_text("outputs: 1\noutput: 1\n")
    assert stepflow("run", "bad.yaml", *NOWHERE).code == 3
    (stepflow.folder / "stepflow.toml").write_text('[validate]\nignore = ["unknown-key"]\n')
    assert stepflow("run", "bad.yaml", *NOWHERE).code == 4


def test_valid_flows_are_remembered(stepflow: Stepflow) -> None:
    memory = stepflow.home / ".cache" / "stepflow" / "checked"
    (stepflow.folder / "good.json").write_text(json.dumps(GOOD))
    (stepflow.folder / "bad.yaml").write_text(BAD)
    for _ in range(2):
        assert stepflow("run", "good.json", *NOWHERE).code == 4
        assert stepflow("run", "bad.yaml", *NOWHERE).code == 3
    assert len(memory.read_text().split()) == 1
    memory.write_bytes(b"\xff\x00")
    assert stepflow("run", "good.json", *NOWHERE).code == 4
    assert stepflow("run", "bad.yaml", *NOWHERE).code == 3
    assert len(memory.read_text().split()) == 1
    memory.unlink()
    memory.mkdir()
    assert stepflow("run", "good.json", *NOWHERE).code == 4


@pytest.mark.parametrize("is_known", [False, True])
def test_json_needs_neither_pyyaml_nor_pydantic(is_known: bool, stepflow: Stepflow, server_url: str) -> None:
    path = stepflow.folder / "good.json"
    path.write_text(json.dumps(GOOD))
    if is_known:
        assert stepflow("run", str(path), *NOWHERE).code == 4
    program = (
        f"import sys; sys.argv[1:] = ['run', {str(path)!r}, '--url', {server_url!r}]\n"
        "from stepflow_cli.entry import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('yaml', 'pydantic', 'stepflow_client._checks.checker') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=stepflow.environment, capture_output=True, text=True, timeout=60
    )
    expected = [] if is_known else ["stepflow_client._checks.checker"]
    assert done.stdout.splitlines() == ["1", str(expected)], done.stderr


@pytest.mark.parametrize("command", ["run", "submit"])
def test_missing_input_is_reported(command: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "reads.yaml").write_text("output: {a: {$input: $.sku}, b: {$input: size}, c: {$input: $}}\n")
    done = stepflow(command, "reads.yaml", *NOWHERE)
    message = (
        "stepflow: the flow reads sku, size from its input, but no input was passed\n"
        'hint: pass --input-json \'{"sku": "...", "size": "..."}\' or --input FILE\n'
    )
    assert (done.code, done.stderr) == (2, message)
    for input_options in (("--input-json", "null"), ("--input-json", "{}")):
        assert stepflow(command, "reads.yaml", *NOWHERE, *input_options).code == 4
    assert stepflow(command, "reads.yaml", *NOWHERE, stdin='{"sku": 1}').code == 4


@pytest.mark.parametrize("options", [("--var", "tnoe=1"), ("--variables-json", '{"tone": 1, "tnoe": 1}')])
def test_unknown_variable(options: tuple[str, str], stepflow: Stepflow) -> None:
    (stepflow.folder / "tone.yaml").write_text("output: {$variable: tone}\n")
    done = stepflow("run", "tone.yaml", *NOWHERE, *options)
    assert (done.code, done.stderr) == (2, "stepflow: the flow has no variable 'tnoe'\nhint: did you mean 'tone'?\n")


@pytest.mark.usefixtures("server")
def test_text_that_looks_like_an_expression_gets_a_note(stepflow: Stepflow) -> None:
    steps = "- {id: a, component: /builtin/noop, input: {x: {$field: $.name}, y: About $input.name}}\n"
    (stepflow.folder / "near.yaml").write_text(f"steps:\n{steps}output: {{$step: a}}\n")
    validated = stepflow("validate", "--offline", "near.yaml")
    # The note is repeated, because only flows without such text are remembered as valid.
    for _ in range(2):
        done = stepflow("run", "near.yaml", "--input-json", '{"name": "Ada"}')
        assert (done.code, done.stderr.count("\n")) == (0, 2), done
        for line in done.stderr.splitlines():
            place, _, message = line.removeprefix("stepflow: ").partition(": ")
            assert f"{place}: warning: {message.partition(';')[0]}" in validated.stdout
    assert "near.yaml:2:49: '$field' is not a keyword" in done.stderr
    assert stepflow("run", "near.yaml", "--input-json", "{}", "--no-check").stderr == ""
