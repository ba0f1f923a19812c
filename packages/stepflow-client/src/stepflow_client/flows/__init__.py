"""Flow files: offline checks, inferred types, and JSON Schemas for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_names

if TYPE_CHECKING:
    from .checker import check
    from .editor_schema import schema
    from .parts import flow_of_step
    from .types.inferred import InferredFlow, InferredStep, infer

__all__ = ["InferredFlow", "InferredStep", "check", "flow_of_step", "infer", "schema"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "types.inferred": ["InferredFlow", "InferredStep", "infer"],
        "checker": ["check"],
        "parts": ["flow_of_step"],
        "editor_schema": ["schema"],
    },
)
