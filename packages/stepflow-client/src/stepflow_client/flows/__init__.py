"""Flow files: offline checks, inferred types, and JSON Schemas for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .._checks.checker import check
    from .._checks.inferred_flow import InferredFlow, InferredStep, infer
    from .._editing.editor_schema import schema
    from .graph import flow_of_step

__all__ = ["InferredFlow", "InferredStep", "check", "flow_of_step", "infer", "schema"]

__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "._checks.inferred_flow": ["InferredFlow", "InferredStep", "infer"],
        "._checks.checker": ["check"],
        "graph": ["flow_of_step"],
        "._editing.editor_schema": ["schema"],
    },
)
