"""A default for arguments where None is a valid value."""

from __future__ import annotations

from typing import Any


class NotGiven:
    """The type of `NOT_GIVEN`, the default for arguments where None is a valid value."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        # Pickling and copying preserve identity.
        return "NOT_GIVEN"


NOT_GIVEN: Any = NotGiven()
