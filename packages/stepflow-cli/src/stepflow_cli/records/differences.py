"""The differences between two runs as records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..output.view import Column, View

if TYPE_CHECKING:
    from stepflow_client import RunDifference

__all__ = ["DIFFERENCE", "difference_records"]

_LONGEST = 200
"""Maximum characters of a value in a table; other formats print the complete value."""


def _value_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


DIFFERENCE = View(
    columns=(Column("path"), Column("kind"), Column("a", show=_value_text), Column("b", show=_value_text)),
    name="path",
    fields=("item", "step", "origin"),
    open_fields=("a", "b"),
)
"""One difference between two runs."""


def difference_records(differences: Iterable[RunDifference]) -> list[dict[str, Any]]:
    """Return differences as records."""
    return [each.to_dict() for each in differences]
