"""The default of arguments for which None is a valid value."""

from __future__ import annotations

from typing import Any

NOT_GIVEN: Any = object()
