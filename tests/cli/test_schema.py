"""`stepflow schema` prints schemas of flows and configurations, with components if requested."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client.flows.reading import load_flow

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden
from tests.cli.test_validate import _BUYS, _SHOP


def _count_errors(done: CommandResult, flow: Any) -> int:
    assert done.code == 0, done.stderr
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    return len({error.json_path for error in Draft202012Validator(schema).iter_errors(flow)})


def test_file_or_standard_output(stepflow: Stepflow) -> None:
    printed = stepflow("schema")
    assert stepflow("schema", "flow", "--output", "flow.schema.json").stdout == ""
    assert (stepflow.folder / "flow.schema.json").read_text() == printed.stdout
    assert _count_errors(printed, load_flow(stepflow.folder / "hello.yaml")) == 0
    assert json.loads(stepflow("schema", "config").stdout)["title"] == "Stepflow server configuration"


def test_components_of_a_server(stepflow: Stepflow) -> None:
    (stepflow.folder / "shop.yml").write_text(_SHOP)
    (stepflow.folder / "buys.yaml").write_text(_BUYS)
    flow = load_flow(stepflow.folder / "buys.yaml")
    listed = stepflow("list-components", "--config", "shop.yml", "-o", "json")
    (stepflow.folder / "components.json").write_text(listed.stdout)
    assert _count_errors(stepflow("schema"), flow) == 0
    # The misspelt component, the missing input and the invalid input.
    assert _count_errors(stepflow("schema", "--config", "shop.yml"), flow) == 3
    assert _count_errors(stepflow("schema", "--components", "components.json"), flow) == 3


@pytest.mark.usefixtures("server")
def test_server_is_used_only_with_an_option(stepflow: Stepflow, server: str) -> None:
    stepflow.environment["STEPFLOW_URL"] = "http://127.0.0.1:9"
    without_server = stepflow("schema")
    assert without_server.code == 0
    with_server = stepflow("schema", "--url", server)
    assert with_server.code == 0
    assert with_server.stdout != without_server.stdout


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("schema", "flwo"),
        stepflow("schema", "config", "--local"),
        stepflow("schema", "--local", "--components", "x.json"),
        stepflow("schema", "--components", "hello.yaml"),
        stepflow("schema", "--url", "http://127.0.0.1:9"),
        stepflow("schema", "--output", "no/such/folder/flow.json"),
    )
