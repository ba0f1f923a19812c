"""Determines which part of its input a component refuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .components import BUILTINS
from .graph import steps_by_id
from .interpreter import BROKEN, NOT_KNOWN, Failure, NotKnownError, RecordedEvaluation
from .json_schema import Mismatch, definitions_of, mismatches
from .source import node_of

__all__ = ["has_schema", "hint_for", "hint_of", "may_return", "refusal"]

Schemas = Mapping[str, Any]
"""The input schemas of components by their path in flows."""


def hint_of(message: str) -> str | None:
    """Return what a server's message about a worker may mean; None for messages that say what they mean."""
    if "no heartbeat received" not in message:
        return None
    # The report of such a worker is refused, and the server waits for it in vain (seen up to 0.13).
    return "the worker has crashed, or its output is larger than 4 MB: put large outputs into blobs, return their ids"


def has_schema(component: str) -> bool:
    """Return whether the input schema of a component is known without a server."""
    return component in BUILTINS


def may_return(component: str, value: Any) -> bool:
    """Return whether a component can have returned a value, as far as its schema is known."""
    schema = BUILTINS[component][1] if component in BUILTINS else {}
    return _mismatch(value, schema) is None


def refusal(flow: Mapping[str, Any], step: Mapping[str, Any], given: Any, schemas: Schemas) -> str | None:
    """Return which field of its input a component refuses, and how to find that out before a run.

    It is None if the input is allowed, or if the schema of the component is neither builtin nor in `schemas`.
    """
    component = str(step.get("component"))
    schema = BUILTINS[component][0] if component in BUILTINS else schemas.get(component)
    found = _mismatch(given, schema)
    if found is None:
        return None
    # The value may be a secret.
    shown = repr(found.node.value)
    message = f"the value{found.message[len(shown) :]}" if found.message.startswith(shown) else found.message
    what = f"component {component} refuses its input: {message} (at {found.path})"
    if _is_literal(flow, step, schema):
        return f"{what}; a check of the flow finds this before a run"
    return f"{what}; if the flow declares a schema of its input, inputs are checked before a run"


def hint_for(flow: Mapping[str, Any], step_id: str | None, input: Any, variables: Any) -> str | None:
    """Return which field of its input the component of a failed step refuses, as far as no other step determines it.

    The flow has the overrides of the run.
    """
    step = steps_by_id(flow).get(step_id or "")
    if step is None:
        return None
    try:
        given = RecordedEvaluation(flow, input, variables, {}, is_over=False).value(step.get("input"))
    except (Failure, NotKnownError, *BROKEN):
        return None
    return refusal(flow, step, given, {})


def _mismatch(value: Any, schema: Any) -> Mismatch | None:
    if not isinstance(schema, Mapping):
        return None
    return next(mismatches(node_of(value), schema, definitions_of(schema)), None)


def _is_literal(flow: Mapping[str, Any], step: Mapping[str, Any], schema: Any) -> bool:
    """Return whether the refused value is in the flow itself."""
    evaluation = RecordedEvaluation(flow, NOT_KNOWN, NOT_KNOWN, {}, is_over=False)
    try:
        return _mismatch(evaluation.value(step.get("input")), schema) is not None
    except (Failure, NotKnownError, *BROKEN):
        return False
