"""The comparison of OpenAPI descriptions reports the expected differences of each sample change."""

from __future__ import annotations

import pytest

from openapi import comparison
from tests.unit.repository.description_changes import CHANGES, Change


@pytest.mark.parametrize("change", [each for each in CHANGES if not each.error], ids=lambda change: change.name)
def test_differences(change: Change) -> None:
    ours, theirs = Change("ours").document(), change.document()
    comparison.align(ours, theirs)
    assert comparison.differences(ours, theirs) == change.differences
