"""What stands for an argument that was not given, where None is a value."""

from __future__ import annotations

from typing import Any

__all__ = ["NOT_GIVEN"]

NOT_GIVEN: Any = object()
