"""Converts Python values to request bytes, and response bytes to Python values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if not TYPE_CHECKING:
    # Import these lazily, because many programs don't need any of them and the last one imports pydantic.
    errors_from_steps = lazy_module(f"{__name__}.errors_from_steps")
    responses = lazy_module(f"{__name__}.responses")
    output_types = lazy_module(f"{__name__}.output_types")
