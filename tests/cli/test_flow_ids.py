"""The id of a stored flow in the place of its file; and what a flow needs, said before anything is run."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.command import Stepflow

pytestmark = pytest.mark.in_process

UNKNOWN = "0" * 64


def stored(stepflow: Stepflow, name: str) -> str:
    return stepflow("flows", "store", name, "-o", "name").stdout.strip()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_stored_flow_is_run_by_its_id(command: str, stepflow: Stepflow) -> None:
    hello = stored(stepflow, "hello.yaml")
    done = stepflow(command, hello, "--input-json", '{"name": "Ada"}')
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Ada"}, "")
    # The flow itself is needed for these, and is asked for.
    done = stepflow(command, "--flow", hello, "--example", "grace")
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Grace"}, "")
    done = stepflow(command, hello, "--example", "ada", "--set", "greeting.input.text=Eve")
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Eve"}, "")
    done = stepflow(command, hello, "--example", "grac")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "stepflow: the flow has no example or test case grac\nhint: did you mean grace?\n"
    done = stepflow(command, hello, "--set", "greetin.input.text=Eve")
    assert (done.code, done.stderr) == (2, "stepflow: the flow has no step greetin\nhint: did you mean greeting?\n")
    # A variable that is declared as text stays text.
    done = stepflow(command, stored(stepflow, "variables.yaml"), "--var", "version=1.10")
    assert (done.code, json.loads(done.stdout)) == (0, {"version": "1.10"})


@pytest.mark.usefixtures("server")
def test_a_batch_of_a_stored_flow(stepflow: Stepflow) -> None:
    stepflow.folder.joinpath("names.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    done = stepflow("batch", stored(stepflow, "hello.yaml"), "names.jsonl", "-o", "jsonl")
    assert (done.code, done.stderr) == (0, "")
    found = [json.loads(line)["output"] for line in done.stdout.splitlines()]
    assert found == [{"hello": "Ada"}, {"hello": "Grace"}]
    done = stepflow.shell(f'echo \'{{"name": "Eve"}}\' | stepflow run {stored(stepflow, "hello.yaml")} --input -')
    assert (done.code, json.loads(done.stdout)) == (0, {"hello": "Eve"})


@pytest.mark.usefixtures("server")
def test_a_stored_flow_is_validated_by_its_id(stepflow: Stepflow) -> None:
    hello = stored(stepflow, "hello.yaml")
    done = stepflow("validate", hello, "clean.yaml")
    assert done.code == 0
    assert re.search(rf"^{hello} +valid", done.stderr, re.MULTILINE)
    assert re.search(r"^clean.yaml +valid", done.stderr, re.MULTILINE)


def test_an_id_that_the_server_does_not_have(stepflow: Stepflow, server: str) -> None:
    for command in ("run", "submit", "validate"):
        done = stepflow(command, UNKNOWN, "--url", server)
        assert (done.code, done.stdout) == (1, "")
        assert UNKNOWN in done.stderr
    done = stepflow("run", UNKNOWN, "--local")
    assert done.code == 1
    assert "hint: this embedded server only has the flows in its own store; to use another server, pass --url" in (
        done.stderr
    )


@pytest.mark.usefixtures("server")
def test_a_file_with_the_name_of_an_id_is_a_file(stepflow: Stepflow) -> None:
    stepflow.folder.joinpath(UNKNOWN).write_text("steps: []\noutput: from the file\n")
    assert stepflow("run", UNKNOWN).stdout == '"from the file"\n'
    done = stepflow("run", f"./{UNKNOWN[1:]}")
    assert (done.code, done.stderr.splitlines()[0]) == (2, f"stepflow: ./{UNKNOWN[1:]} does not exist")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_required_variable_that_is_missing(command: str, stepflow: Stepflow) -> None:
    message = "stepflow: the flow requires the variable 'version', which is not set\n"
    message += "hint: set it with --var version=VALUE\n"
    done = stepflow(command, "variables.yaml")
    assert (done.code, done.stdout, done.stderr) == (2, "", message)
    done = stepflow(command, "variables.yaml", "--variables-from-env", "--variables-json", '{"Version": 1}')
    said = "stepflow: the flow has no variable 'Version'\nhint: did you mean 'version'?\n"
    assert (done.code, done.stdout, done.stderr) == (2, "", said)
    done = stepflow(command, "variables.yaml", "--variables-from-env", STEPFLOW_VAR_VERSION="1.10")
    assert (done.code, json.loads(done.stdout)) == (0, {"version": "1.10"})
