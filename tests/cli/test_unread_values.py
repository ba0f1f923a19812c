"""Unknown input fields get a note, and unknown variables and step inputs are refused, with a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Stepflow

pytestmark = pytest.mark.in_process

FLOW = """
schemas: {properties: {input: {properties: {qty: {type: integer}}}}}
steps:
- {id: greet, component: /builtin/create_messages, input: {user_prompt: {$input: $.name}}}
- {id: mine, component: /mine/other, input: {size: 1}, mustExecute: false}
output: {$step: greet}
"""
INPUT = '{"qty": 1, "name": "Ada"'


@pytest.fixture
def shop(stepflow: Stepflow) -> Stepflow:
    (stepflow.folder / "shop.yaml").write_text(FLOW)
    return stepflow


@pytest.mark.usefixtures("server")
def test_unused_input_field_gets_a_note(shop: Stepflow) -> None:
    done = shop("run", "shop.yaml", "--input-json", INPUT + ', "nme": 1, "quantity": 2}')
    assert done.code == 0, done
    assert "the input has 'nme', which the flow neither declares nor reads; did you mean 'name'?" in done.stderr
    assert (
        "the input has 'quantity', which the flow neither declares nor reads; "
        "fields are: qty (integer), name (required)" in done.stderr
    )
    assert shop("run", "shop.yaml", "--input-json", INPUT + "}").stderr == ""
    detached = shop("run", "shop.yaml", "--input-json", INPUT + ', "nme": 1}', "--detach")
    assert (detached.code, "did you mean 'name'?" in detached.stderr) == (0, True)


@pytest.mark.usefixtures("server")
def test_only_the_first_input_of_a_batch_is_checked(shop: Stepflow) -> None:
    (shop.folder / "rows.csv").write_text("id,name,quantity\n1,Ada,2\n2,Bob,3\n")
    done = shop("batch", "shop.yaml", "rows.csv")
    assert (done.code, done.stderr.count("neither declares nor reads")) == (0, 1), done
    assert "quantity" in done.stderr


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("flow", ["echo.yaml", "open.yaml", "blind.yaml"])
def test_no_note_for_flows_that_may_read_any_field(stepflow: Stepflow, flow: str) -> None:
    (stepflow.folder / "open.yaml").write_text(
        "schemas: {properties: {input: {additionalProperties: {type: integer}}}}\nsteps: []\noutput: {$input: $.a}\n"
    )
    (stepflow.folder / "blind.yaml").write_text("steps: []\noutput: 1\n")
    done = stepflow("run", flow, "--input-json", '{"a": 1, "b": 2}')
    assert (done.code, done.stderr) == (0, ""), done


@pytest.mark.parametrize(
    ("option", "value", "message", "hint"),
    [
        ("--var", "tone=kind", "the flow has no variable 'tone'", "it has no variables"),
        ("--set", "greet.input.usr_prompt=x", "the input of step greet has no usr_prompt", "did you mean user_prompt?"),
        (
            *("--set", "greet.input.tone=x", "the input of step greet has no tone"),
            "it has user_prompt, system_instructions",
        ),
        ("--set", "mine.input.sise=x", "the input of step mine has no sise", "did you mean size?"),
    ],
)
@pytest.mark.parametrize("command", ["run", "batch"])
def test_unknown_variables_and_step_inputs_are_refused(
    shop: Stepflow, command: str, option: str, value: str, message: str, hint: str
) -> None:
    (shop.folder / "rows.jsonl").write_text("{}\n")
    input_options = ("--input-json", INPUT + "}") if command == "run" else ("rows.jsonl",)
    done = shop(command, "shop.yaml", *input_options, option, value, "--no-check" if option == "--set" else "-v")
    assert (done.code, done.stdout) == (2, ""), done
    assert f"stepflow: {message}\nhint: {hint}\n" in done.stderr


@pytest.mark.usefixtures("server")
def test_known_component_inputs_may_be_added(shop: Stepflow) -> None:
    run = ("run", "shop.yaml", "--input-json", INPUT + "}", "--no-check", "--set")
    done = shop(*run, "greet.input.system_instructions=Shout.")
    assert (done.code, "Shout." in done.stdout, done.stderr) == (0, True, ""), done
    unknown = shop(*run, "mine.input.colour=red")
    assert (unknown.code, "the input of step mine has no colour in the flow; adding it" in unknown.stderr) == (
        0,
        True,
    )


@pytest.mark.usefixtures("server")
def test_report_must_be_an_html_file(stepflow: Stepflow, tmp_path: Path) -> None:
    done = stepflow("runs", "report", "@last", "-O", "x.pdf")
    assert (done.code, "x.pdf: a report is an HTML page, not .pdf" in done.stderr) == (2, True), done
    assert not (stepflow.folder / "x.pdf").exists()
