"""Flow files: offline checks, inferred types, and JSON Schemas for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checker import check as check
    from .editor_schema import schema as schema
    from .parts import flow_of_step as flow_of_step
    from .types.inferred import InferredFlow as InferredFlow
    from .types.inferred import InferredStep as InferredStep
    from .types.inferred import infer as infer

__all__ = ["InferredFlow", "InferredStep", "check", "flow_of_step", "infer", "schema"]

_MODULES = {
    "InferredFlow": "types.inferred",
    "InferredStep": "types.inferred",
    "check": "checker",
    "flow_of_step": "parts",
    "infer": "types.inferred",
    "schema": "editor_schema",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
