"""The public names of `stepflow_client.testing` are imported on first use."""

from __future__ import annotations

import pytest
from stepflow_client import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    assert getattr(testing, name).__name__ == name


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Mokc'"):
        testing.Mokc  # noqa: B018
