"""The flow catalog follows changes to its files and rejects flows that cannot be tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stepflow_cli.errors import Problem
from stepflow_cli.inputs.command_line_values import RunValues, ValueArgument
from stepflow_cli.mcp.flow_catalog import FlowCatalog
from stepflow_client import FlowFileError, InvalidArgumentError

from tests.cli.mcp.agents import GREET, SECRETIVE, SLOW, write_flows


def names(catalog: FlowCatalog) -> list[str]:
    return list(catalog.tools)


def test_files_are_added_changed_and_removed(tmp_path: Path) -> None:
    catalog = FlowCatalog([str(write_flows(tmp_path / "flows", GREET))])
    assert (names(catalog), catalog.reload_changed_files()) == (["greet"], False)
    spec = catalog.tools["greet"]
    write_flows(tmp_path / "flows", SLOW)
    assert (catalog.reload_changed_files(), names(catalog)) == (True, ["greet", "slow"])
    assert catalog.tools["greet"] is spec
    write_flows(tmp_path / "flows", {**GREET, "description": "Says hello."})
    assert (catalog.reload_changed_files(), catalog.tools["greet"].description) == (True, "Says hello.")
    (tmp_path / "flows" / "greet.json").unlink()
    assert (catalog.reload_changed_files(), names(catalog)) == (True, ["slow"])


def test_broken_file_is_served_in_its_last_valid_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_flows(tmp_path / "flows", GREET) / "greet.json"
    catalog = FlowCatalog([str(path)])
    path.write_text("{")
    assert (catalog.reload_changed_files(), names(catalog)) == (False, ["greet"])
    assert "it is not served" in capsys.readouterr().err
    path.write_text(json.dumps({**GREET, "description": "Back."}))
    assert (catalog.reload_changed_files(), catalog.tools["greet"].description) == (True, "Back.")
    path.unlink()
    assert (catalog.reload_changed_files(), names(catalog)) == (True, [])


def test_named_file_must_be_a_flow(tmp_path: Path) -> None:
    for name in ("missing.yaml", "-"):
        with pytest.raises(Problem):
            FlowCatalog([str(tmp_path / name) if name != "-" else name])


def test_too_deeply_nested_flow_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = json.loads("[" * 300 + "]" * 300)
    folder = write_flows(tmp_path / "flows", GREET, {**SLOW, "metadata": {"deep": deep}})
    assert names(FlowCatalog([str(folder)])) == ["greet"]
    message = capsys.readouterr().err
    assert "slow.json cannot be sent: it is nested too deeply" in message
    assert message.endswith("it is not served\n")


def test_flow_with_invisible_characters_in_a_field_is_not_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = {"type": "object", "properties": {"a\u202eb": {"type": "string"}}}
    folder = write_flows(tmp_path / "flows", GREET, {**SLOW, "schemas": {"properties": {"input": hidden}}})
    catalog = FlowCatalog([str(folder)])
    assert names(catalog) == ["greet"]
    message = capsys.readouterr().err
    assert "slow.json: the flow cannot be a tool: its field name 'a·b' contains" in message
    assert (catalog.reload_changed_files(), capsys.readouterr().err) == (False, "")
    with pytest.raises(InvalidArgumentError, match="cannot be a tool"):
        FlowCatalog([str(folder / "slow.json")])
    write_flows(tmp_path / "flows", SLOW)
    assert (catalog.reload_changed_files(), names(catalog)) == (True, ["greet", "slow"])


def test_each_flow_gets_its_own_variables(tmp_path: Path) -> None:
    folder = write_flows(tmp_path / "flows", GREET, SECRETIVE)
    catalog = FlowCatalog([str(folder)], RunValues(single_variables=("key=1.10",)))
    # A flow that does not declare the variable as secret would record its value in the history.
    assert catalog.variables["greet"] == {}
    assert catalog.variables["secretive"] == {"key": "1.10"}
    assert [each.hide_in_text("key 1.10") for each in catalog.secrets] == ["key ***"]


def test_previous_version_is_kept_while_the_variables_cannot_be_read(tmp_path: Path) -> None:
    folder, values = write_flows(tmp_path / "flows", GREET), tmp_path / "values.json"
    values.write_text('{"key": "sesame"}')
    catalog = FlowCatalog([str(folder)], RunValues(variables=[ValueArgument("--variables", "file", str(values))]))
    values.write_text("{")
    write_flows(folder, SECRETIVE)
    for _ in range(2):
        with pytest.raises(FlowFileError):
            catalog.reload_changed_files()
        assert (names(catalog), catalog.variables) == (["greet"], {"greet": {}})
    values.write_text('{"key": "sesame"}')
    assert catalog.reload_changed_files()
    assert catalog.variables == {"greet": {}, "secretive": {"key": "sesame"}}
    assert [each.hide_in_text("open sesame") for each in catalog.secrets] == ["open ***"]
