"""Commands accept the ID of a stored flow instead of a file, and missing variables are reported before a run."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.command import Stepflow

pytestmark = pytest.mark.in_process

UNKNOWN = "0" * 64


def store(stepflow: Stepflow, name: str) -> str:
    return stepflow("flows", "store", name, "-o", "name").stdout.strip()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_stored_flow_is_run_by_its_id(command: str, stepflow: Stepflow) -> None:
    hello = store(stepflow, "hello.yaml")
    done = stepflow(command, hello, "--input-json", '{"name": "Ada"}')
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Ada"}, "")
    # These options need the flow itself, which the command requests.
    done = stepflow(command, "--flow", hello, "--example", "grace")
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Grace"}, "")
    done = stepflow(command, hello, "--example", "ada", "--set", "greeting.input.text=Eve")
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"hello": "Eve"}, "")
    done = stepflow(command, hello, "--example", "grac")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "stepflow: the flow has no example or test case grac\nhint: did you mean grace?\n"
    done = stepflow(command, hello, "--set", "greetin.input.text=Eve")
    assert (done.code, done.stderr) == (2, "stepflow: the flow has no step greetin\nhint: did you mean greeting?\n")
    # A variable declared as a string is not parsed as a number.
    done = stepflow(command, store(stepflow, "variables.yaml"), "--var", "version=1.10")
    assert (done.code, json.loads(done.stdout)) == (0, {"version": "1.10"})


@pytest.mark.usefixtures("server")
def test_batch_of_a_stored_flow(stepflow: Stepflow) -> None:
    stepflow.folder.joinpath("names.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    done = stepflow("batch", store(stepflow, "hello.yaml"), "names.jsonl", "-o", "jsonl")
    assert (done.code, done.stderr) == (0, "")
    outputs = [json.loads(line)["output"] for line in done.stdout.splitlines()]
    assert outputs == [{"hello": "Ada"}, {"hello": "Grace"}]
    done = stepflow.shell(f'echo \'{{"name": "Eve"}}\' | stepflow run {store(stepflow, "hello.yaml")} --input -')
    assert (done.code, json.loads(done.stdout)) == (0, {"hello": "Eve"})


@pytest.mark.usefixtures("server")
def test_batch_of_a_stored_flow_is_resumed(stepflow: Stepflow) -> None:
    stepflow.folder.joinpath("names.jsonl").write_text('{"name": "Ada"}\n')
    batch = ("batch", store(stepflow, "hello.yaml"), "names.jsonl", "--output", "out.jsonl")
    assert stepflow(*batch).code == 0
    # Servers return the flow's keys in a different order each time.
    for _ in range(4):
        resumed = stepflow(*batch, "--resume")
        assert resumed.code == 0, resumed


@pytest.mark.usefixtures("server")
def test_stored_flow_is_validated_by_its_id(stepflow: Stepflow) -> None:
    hello = store(stepflow, "hello.yaml")
    done = stepflow("validate", hello, "clean.yaml")
    assert done.code == 0
    assert re.search(rf"^{hello} +valid", done.stderr, re.MULTILINE)
    assert re.search(r"^clean.yaml +valid", done.stderr, re.MULTILINE)


def test_stored_flow_cannot_be_checked_offline(stepflow: Stepflow) -> None:
    done = stepflow("validate", UNKNOWN, "clean.yaml", "--offline")
    assert (done.code, done.stdout) == (2, "")
    assert "--offline cannot check flows on a server" in done.stderr


def test_unknown_flow_id(stepflow: Stepflow, server: str) -> None:
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
def test_file_named_like_an_id_is_read_as_a_file(stepflow: Stepflow) -> None:
    stepflow.folder.joinpath(UNKNOWN).write_text("steps: []\noutput: from the file\n")
    assert stepflow("run", UNKNOWN).stdout == '"from the file"\n'
    done = stepflow("run", f"./{UNKNOWN[1:]}")
    assert (done.code, done.stderr.splitlines()[0]) == (2, f"stepflow: ./{UNKNOWN[1:]} does not exist")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_missing_required_variable(command: str, stepflow: Stepflow) -> None:
    message = "stepflow: the flow requires the variable 'version', which is not set\n"
    message += "hint: set it with --var version=VALUE\n"
    done = stepflow(command, "variables.yaml")
    assert (done.code, done.stdout, done.stderr) == (2, "", message)
    done = stepflow(command, "variables.yaml", "--variables-from-env", "--variables-json", '{"Version": 1}')
    unknown = "stepflow: the flow has no variable 'Version'\nhint: did you mean 'version'?\n"
    assert (done.code, done.stdout, done.stderr) == (2, "", unknown)
    done = stepflow(command, "variables.yaml", "--variables-from-env", STEPFLOW_VAR_VERSION="1.10")
    assert (done.code, json.loads(done.stdout)) == (0, {"version": "1.10"})
