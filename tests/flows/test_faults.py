"""Planted faults are found with their rule, line and column; what is valid has no findings."""

from __future__ import annotations

import pytest

from stepflow_client.flows.checker import find_in_text
from tests.flows.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_at_its_place(fault: Fault) -> None:
    before, mark, after = fault.text.partition("«")
    assert mark
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    found = find_in_text(before + after, "flow.yaml")
    assert (fault.rule, line, column) in {(each.rule, each.line, each.column) for each in found}
    own = next(each for each in found if each.rule == fault.rule)
    assert own.message
    assert own.excerpt.endswith("^")


def test_there_are_enough_faults_and_each_is_another() -> None:
    assert len({fault.text for fault in FAULTS}) == len(FAULTS) >= 60
