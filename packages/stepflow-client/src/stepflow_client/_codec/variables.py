"""The variables that a flow declares. Pure; pydantic is only imported for flows with variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._data.declared import declared_schema

if TYPE_CHECKING:
    from ..types import FlowVariable


def flow_variables(flow: Mapping[str, Any]) -> dict[str, FlowVariable]:
    """Return the variables a flow declares under `schemas.properties.variables`; empty if it declares none."""
    schema = declared_schema(flow, "variables")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return {}
    from ..types import FlowVariable

    required = schema.get("required")
    return {
        name: FlowVariable(
            is_required=isinstance(required, list) and name in required and "default" not in declared,
            default=declared.get("default"),
            env_var=_text(declared.get("env_var")),
            is_secret=declared.get("is_secret") is True,
            description=_text(declared.get("description")),
            value_schema=dict(declared),
        )
        for name, declared in properties.items()
        if isinstance(declared, Mapping)
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
