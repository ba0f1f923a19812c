"""Every authoring construct builds the flow you would write by hand, and the flow runs the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from stepflow_client._codec.output_types import convert_type_for_pydantic
from stepflow_client.flows import check
from stepflow_client.flows.reading import load_file, parse_yaml
from stepflow_client.testing import fake_server

from tests.unit.authoring.constructs import FLOWS

BY_HAND: dict[str, Any] = load_file(Path(__file__).parent / "constructs.yaml")


def test_all_flows_are_compared() -> None:
    assert list(FLOWS) == list(BY_HAND)
    assert len(FLOWS) >= 60


def test_flows_run_on_the_fake_server() -> None:
    """The fake server supports every construct, and outputs have the flow's output type."""
    client = fake_server().sync_client()
    for name, flow in FLOWS.items():
        for run in BY_HAND[name]["runs"]:
            done = flow.run(client, run["input"], variables=run.get("variables"))
            expected = run["output"]
            if flow.output_type is not None:
                expected = TypeAdapter(convert_type_for_pydantic(flow.output_type)).validate_python(expected)
            assert done.output == expected, name


@pytest.mark.parametrize("name", FLOWS)
def test_flow_equals_the_handwritten_flow(name: str) -> None:
    flow = FLOWS[name]
    assert flow.to_dict() == BY_HAND[name]["flow"]
    # Servers keep the order of keys in data.
    assert parse_yaml(flow.to_yaml()) == flow.to_dict()
    diagnostics = check(flow, type_check=True).diagnostics
    assert not [each for each in diagnostics if each.level != "warning"]
