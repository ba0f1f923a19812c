"""Decisions without I/O: which requests are retried, for how long, and what each server release supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if not TYPE_CHECKING:
    # Many programs need none of these.
    chunks = lazy_module(f"{__name__}.chunks")
    dialect = lazy_module(f"{__name__}.dialect")
