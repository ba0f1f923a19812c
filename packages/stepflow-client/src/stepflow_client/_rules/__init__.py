"""Decision logic without I/O: which requests to retry and for how long, and what each server release supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if not TYPE_CHECKING:
    # Lazy, because only older servers need it.
    older_dialects = lazy_module(f"{__name__}.older_dialects")
