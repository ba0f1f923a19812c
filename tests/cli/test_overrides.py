"""`--set` and `--overrides` change steps, and overrides without an effect are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stepflow_cli.errors import Problem
from stepflow_cli.inputs.command_line_values import RunValues, ValueArgument
from stepflow_cli.inputs.flow_loading import load_flow_argument

from tests.cli.command import Stepflow

pytestmark = pytest.mark.in_process

FLOW = str(Path(__file__).parent / "flows" / "hello.yaml")
RUN = (
    "run",
    "hello.yaml",
    "--example",
    "ada",
)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("plain", "plain"),
        ("fix #42 now", "fix #42 now"),
        ('{"a": 1}', {"a": 1}),
        ("[1, a]", [1, "a"]),
        ("5", 5),
    ],
)
@pytest.mark.usefixtures("server")
def test_value_replaces_an_expression(text: str, output: object, stepflow: Stepflow) -> None:
    done = stepflow(*RUN, "--set", f"greeting.input.text={text}")
    assert (done.code, json.loads(done.stdout)) == (0, {"hello": output}), done


@pytest.mark.parametrize(
    ("option", "text", "message", "hint"),
    [
        ("--set", "greting.input.text=x", "the flow has no step greting", "did you mean greeting?"),
        ("--set", "greeting.inputs.text=x", "--set: unknown key inputs for step greeting", "did you mean input?"),
        (
            "--set",
            "greeting.input.text.more=x",
            "greeting.input.text is an expression in the flow",
            "set it as a whole: --set greeting.input.text=VALUE",
        ),
        ("--overrides-json", '{"other": {}}', "the flow has no step other", "it has greeting"),
        (
            "--overrides-json",
            '{"greeting": {"onerror": {}}}',
            "--overrides-json: unknown key onerror for step greeting",
            "did you mean onError?",
        ),
        (
            "--overrides-json",
            '{"steps": {"greeting": {"value": {"inptu": {}}}}}',
            "--overrides-json: unknown key inptu for step greeting",
            "did you mean input?",
        ),
    ],
)
def test_overrides_without_an_effect_are_refused(option: str, text: str, message: str, hint: str) -> None:
    form = "set" if option == "--set" else "json"
    with pytest.raises(Problem) as caught:
        RunValues(overrides=(ValueArgument(option, form, text),)).read_overrides(load_flow_argument(FLOW))  # type: ignore[arg-type]
    assert (caught.value.exit_code, caught.value.message, caught.value.hint) == (2, message, hint)


@pytest.mark.parametrize(
    "text",
    [
        '{"greeting": {"input": {"text": 1}}}',
        '{"greeting": {"component": "/builtin/noop", "onError": {"action": "fail"}, "mustExecute": true}}',
        '{"steps": {"greeting": {"value": {"input": {}}, "$type": "merge_patch"}}}',
    ],
)
def test_valid_overrides_are_unchanged(text: str) -> None:
    argument = ValueArgument("--overrides-json", "json", text)
    assert RunValues(overrides=(argument,)).read_overrides(load_flow_argument(FLOW)) == [json.loads(text)]


def test_misspelt_variable(stepflow: Stepflow) -> None:
    done = stepflow("run", "variables.yaml", "--var", "versoin=1")
    assert (done.code, done.stderr) == (
        2,
        "stepflow: the flow has no variable 'versoin'\nhint: did you mean 'version'?\n",
    )
