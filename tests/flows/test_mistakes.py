"""Each common mistake is reported at its position, with a useful suggestion."""

from __future__ import annotations

import pytest

from tests.flows.findings import find_in_text
from tests.flows.mistakes import FLOW, MISTAKES, Mistake


def test_the_flow_has_no_mistake() -> None:
    assert find_in_text(FLOW, "flow.yaml") == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_found_and_explained(mistake: Mistake) -> None:
    before, mark, after = mistake.marked.partition("«")
    assert mark
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    findings = find_in_text(before + after, "flow.yaml")
    reported = [each for each in findings if (each.line, each.column) == (line, column)]
    assert reported, [(each.line, each.column, each.message, each.hint) for each in findings]
    assert any(mistake.suggestion in (each.hint or "") for each in reported), [
        (each.message, each.hint) for each in reported
    ]
    assert reported[0].excerpt.endswith("^")


def test_there_are_enough_mistakes_and_suggestions() -> None:
    assert len({mistake.marked for mistake in MISTAKES}) == len(MISTAKES) >= 60
    assert sum(mistake.suggestion != "" for mistake in MISTAKES) >= 60
