"""Checks inputs against the input schema of a flow, which servers do not do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["check_inputs"]


def check_inputs(flow: Mapping[str, Any], inputs: Sequence[Any]) -> None:
    """Check inputs against the input schema of a flow.

    The keywords `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`, `const` and `$ref` are
    supported. Other keywords are ignored.

    Args:
        flow: The flow. A flow without an input schema accepts any input.
        inputs: One input for each item of the run.

    Raises:
        InvalidArgumentError: If an input does not match. The message names the place in the input, and the hint says
            how to fix it.
    """
    schemas = flow.get("schemas")
    properties = schemas.get("properties") if isinstance(schemas, Mapping) else None
    schema = properties.get("input") if isinstance(properties, Mapping) else None
    if not isinstance(schemas, Mapping) or not isinstance(schema, Mapping):
        return
    from .source import node_of
    from .types.schemas import definitions_of
    from .types.values import mismatches

    shared = schemas.get("$defs")
    defs = definitions_of(schema, shared if isinstance(shared, Mapping) else {})
    for index, value in enumerate(inputs):
        wrong = next(mismatches(node_of(value), schema, defs), None)
        if wrong is not None:
            which = f"input {index}" if len(inputs) > 1 else "the input"
            raise InvalidArgumentError(
                f"{which} does not fit the flow's schema: {wrong.message} (at {wrong.path})", hint=wrong.hint
            )
