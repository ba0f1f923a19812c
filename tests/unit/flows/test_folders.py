"""`validate`, `test` and pytest recognize flow files by name and content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stepflow_client.flows.project import (
    find_flow_files,
    find_top_level_keys,
    is_flow_file,
    is_flow_text,
    is_server_config_name,
)

FLOWS = {
    "a.yaml": "name: a\nsteps:\n- id: x\n",
    "b.yml": "output: 1\n",
    "c.json": '{"name": "c", "steps": []}',
    "d.json": '\n{\n\t"steps": [}',
    "e.yaml": "{name: e, steps: []}",
    "f.yaml": "name: [\n'steps': [\n",
    "g.yaml": "schema: https://stepflow.org/schemas/v1/flow.json\nname: g\n",
    "h.YAML": "output: caf\xe9\n",
    "sub/i.yaml": "\ufeffsteps: []\n",
}
OTHERS = {
    "ci.yaml": "jobs:\n  a:\n    steps: []\n",
    "list.json": '[1, {"steps": 2}]',
    "nested.json": '{"cells": [{"output": 1}]}',
    "readme.md": "steps: 1\n",
    "stepflow-config.test.yml": "steps: 1\n",
    "stepflow_config.yaml": "steps: 1\n",
    "with-plugins.yaml": "plugins: {}\noutput: x\n",
    ".hidden.yaml": "steps: []\n",
    ".git/x.yaml": "steps: []\n",
    "node_modules/x.yaml": "steps: []\n",
    "empty.yaml": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # Hidden folders above the searched folder do not matter.
    folder = tmp_path / ".work" / "flows"
    for name, text in (FLOWS | OTHERS).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1" if name == "h.YAML" else "utf-8"))
    (folder / "folder.yaml").mkdir()
    return folder


def test_flow_files_are_found_by_name_and_keys(folder: Path) -> None:
    assert [path.relative_to(folder).as_posix() for path in find_flow_files(folder)] == list(FLOWS)
    assert not is_flow_file(folder / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "is_flow", "keys"),
    [
        ("steps:\n", True, {"steps"}),
        ("'output' : 1\na-b: 2\n", True, {"output", "a-b"}),
        ("output: 1\nplugins: 2\n", False, {"output", "plugins"}),
        ("steps: 1\nplugins: 2\n", True, {"steps", "plugins"}),
        ('{"output": 1, "a": {"b": 2}}', True, {"output", "a"}),
        ("{output: 1, a: {b: 2}}", True, {"output", "a", "b"}),
        (' {"a": {"steps": 2}}', False, {"a"}),
        ('{"a": {\n"steps": 2}}', False, {"a"}),
        ("{steps:\nsteps: ", True, {"steps"}),
        ('{"a":\nsteps: 1', True, {"a", "steps"}),
        ("schema: https://stepflow.org/schemas/v1/flow.json\n", True, {"schema"}),
        ("a:\n  steps: 1\n", False, {"a"}),
        ("", False, set()),
    ],
)
def test_flows_are_recognized_by_their_top_level_keys(text: str, is_flow: bool, keys: set[str]) -> None:
    assert is_flow_text(text) is is_flow
    assert find_top_level_keys(text) == keys


def test_server_configurations_are_recognized_by_file_name() -> None:
    names = ("stepflow-config.yml", "stepflow_config.YAML", "stepflow-config.test.json", "a/stepflow-config.yaml")
    assert all(map(is_server_config_name, names))
    assert not any(map(is_server_config_name, ("stepflow-config.toml", "my-stepflow-config.yml", "stepflow.yml")))


def test_pytest_reports_broken_files_and_runs_the_rest(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("steps: [\n")
    (tmp_path / "faulty.yaml").write_text("output: 1\ntest:\n  cases:\n    - {name: no input}\n")
    (tmp_path / "none.yaml").write_text("output: 1\n")
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "--stepflow", "-p", "no:cacheprovider", "-c", "/dev/null", "."]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 1, completed.stdout
    assert "2 failed, 1 passed" in completed.stdout
    assert "broken.yaml:1: case 'broken.yaml'" in completed.stdout
    assert (
        "faulty.yaml:4: case 'no input'\ntest.cases[0]: a test case needs 'input'; add input: ..." in completed.stdout
    )
