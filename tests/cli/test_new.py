"""Every template of `stepflow new` is valid, and its tests pass."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests import releases, workers
from tests.cli.command import Stepflow

_WORKER_FILES = ["hello.yaml", "stepflow-components.json", "stepflow-config.yml", "stepflow.toml", "worker.py"]


@pytest.fixture
def empty(stepflow: Stepflow) -> Stepflow:
    """The command, in an empty folder."""
    stepflow.folder = stepflow.home / "empty"
    stepflow.folder.mkdir()
    return stepflow


@pytest.mark.parametrize(("template", "files"), [("plain", ["hello.yaml"]), ("map", ["hello.yaml"])])
def test_templates_have_no_diagnostics(template: str, files: list[str], empty: Stepflow) -> None:
    done = empty("new", "hello", "--template", template)
    assert (done.code, done.stdout.split()) == (0, files)
    assert done.stderr == "stepflow: next: stepflow test hello.yaml\n"
    check = ("validate", "hello.yaml", "--type-check", "--strict", "-o", "json")
    for arguments in ((*check, "--offline"), check):
        checked = empty(*arguments)
        assert (checked.code, json.loads(checked.stdout)) == (0, [])
    tested = empty("test", "hello.yaml")
    assert (tested.code, "failed" in tested.stdout + tested.stderr) == (0, False), tested


def test_worker_template_with_its_project(empty: Stepflow) -> None:
    done = empty("new", "hello", "--template", "worker")
    assert (done.code, sorted(done.stdout.split())) == (0, _WORKER_FILES)
    checked = empty("validate", "--offline", "--type-check", "--strict", "-o", "json")
    assert (checked.code, json.loads(checked.stdout)) == (0, []), checked
    # The configuration starts the worker as 'python'.
    path = f"{workers.python(releases.NEWEST).parent}{os.pathsep}{empty.environment['PATH']}"
    binary = str(releases.binary(releases.NEWEST))
    tested = empty("test", PATH=path, STEPFLOW_SERVER_BINARY=binary)
    assert (tested.code, "2 passed" in tested.stdout) == (0, True), tested
    locked = empty("components", "lock", "--check", PATH=path, STEPFLOW_SERVER_BINARY=binary)
    assert locked.code == 0, locked
    worker = empty.folder / "worker.py"
    worker.write_text(worker.read_text().replace("name: str", "name: int"))
    changed = empty("components", "lock", "--check", PATH=path, STEPFLOW_SERVER_BINARY=binary)
    key = "/python/greet (input_schema.$defs.GreetInput.properties.name.type)"
    assert (changed.code, key in changed.stderr) == (1, True), changed
    assert empty("components", "lock", PATH=path, STEPFLOW_SERVER_BINARY=binary).code == 0
    wrong = empty("validate", "--offline", "--type-check")
    assert (wrong.code, "hello.yaml:" in wrong.stdout, "integer" in wrong.stdout) == (3, True, True), wrong
    # The pre-commit hook, which uses neither types nor a server, finds an error, too.
    (empty.folder / "hello.yaml").write_text(
        "steps:\n- {id: greet, component: /python/greet, input: {name: Ada}}\noutput: {$step: greet}\n"
    )
    hooks = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
    entry = next(each["entry"] for each in hooks if each["id"] == "stepflow-validate")
    hook = empty(*entry.split()[1:], "hello.yaml", PATH="/nonexistent")
    assert (hook.code, "hello.yaml:2:" in hook.stdout, "[component-input]" in hook.stdout) == (3, True, True), hook


def test_file_names(empty: Stepflow) -> None:
    done = empty("new", 'flows/the "first" one.yml', "--template", "worker")
    assert done.code == 0, done
    assert empty("validate", "--offline", "flows").code == 0
    assert 'flows = ["the \\"first\\" one.yml"]' in (empty.folder / "flows" / "stepflow.toml").read_text()
    refused = empty("new", "hello.json")
    assert (refused.code, "hint: use hello.yaml" in refused.stderr) == (2, True)
    unnamed = empty("new", ".")
    assert (unnamed.code, unnamed.stderr) == (2, "stepflow: . is not a YAML file name\n")


def test_existing_files_are_not_overwritten(empty: Stepflow) -> None:
    (empty.folder / "stepflow.toml").write_text("# mine\n")
    done = empty("new", "hello", "--template", "worker")
    assert (done.code, "stepflow: stepflow.toml already exists\n" in done.stderr) == (2, True)
    assert [each.name for each in empty.folder.iterdir()] == ["stepflow.toml"]
    assert empty("new", "hello").code == 0
    before = (empty.folder / "hello.yaml").read_text()
    (empty.folder / "hello.yaml").write_text(before + "# mine\n")
    assert empty("new", "hello.yaml").code == 2
    assert (empty.folder / "hello.yaml").read_text() == before + "# mine\n"
    (empty.folder / "link.yaml").symlink_to(Path("/nonexistent/elsewhere.yaml"))
    assert "link.yaml already exists" in empty("new", "link").stderr
