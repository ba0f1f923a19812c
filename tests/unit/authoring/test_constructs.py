"""Flows of every construct in Python are the flows that people write by hand, and run the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stepflow_client.flows import check
from stepflow_client.flows.file import load_file, parse_yaml

from tests.unit.authoring.constructs import FLOWS

BY_HAND: dict[str, Any] = load_file(Path(__file__).parent / "constructs.yaml")


def test_all_flows_are_compared() -> None:
    assert list(FLOWS) == list(BY_HAND)
    assert len(FLOWS) >= 60


@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_is_the_one_written_by_hand(name: str) -> None:
    flow = FLOWS[name]
    assert flow.to_dict() == BY_HAND[name]["flow"]
    # Servers keep the order of keys in data.
    assert parse_yaml(flow.to_yaml()) == flow.to_dict()
    found = check(flow, type_check=True).diagnostics
    assert not [each for each in found if each.level != "warning"]
