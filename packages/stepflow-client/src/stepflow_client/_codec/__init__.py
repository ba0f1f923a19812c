"""Conversion between Python values and the bytes of requests and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if not TYPE_CHECKING:
    # Many programs need none of these; the last one needs pydantic.
    failed_items = lazy_module(f"{__name__}.failed_items")
    responses = lazy_module(f"{__name__}.responses")
    typed = lazy_module(f"{__name__}.typed")
