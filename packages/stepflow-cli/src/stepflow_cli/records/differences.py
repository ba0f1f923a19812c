"""The differences between two runs as records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text import short_json

from ..output.view import Column, View

if TYPE_CHECKING:
    from stepflow_client import RunDifference

__all__ = ["DIFFERENCE", "difference_records"]

DIFFERENCE = View(
    columns=(Column("path"), Column("kind"), Column("a", show=short_json), Column("b", show=short_json)),
    name="path",
    fields=("item", "step", "origin"),
    open_fields=("a", "b"),
)
"""One difference between two runs."""


def difference_records(differences: Iterable[RunDifference]) -> list[dict[str, Any]]:
    """Return differences as records."""
    return [each.to_dict() for each in differences]
