"""A default for arguments that accept None as a value."""

from __future__ import annotations

from typing import Any


class NotGiven:
    """The type of `NOT_GIVEN`, the default for arguments that accept None as a value."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        # Pickling and copying return the same object.
        return "NOT_GIVEN"


NOT_GIVEN: Any = NotGiven()
