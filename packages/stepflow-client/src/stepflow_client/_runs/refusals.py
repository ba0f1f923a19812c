"""Determines which part of its input a component refuses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._base.text import cut, nearest
from ..flows.components import BUILTINS
from ..flows.expressions import Reference, portable_path, references
from ..flows.graph import steps_by_id
from ..flows.interpreter import BROKEN, NOT_KNOWN, Failure, NotKnownError, RecordedEvaluation
from ..flows.json_schema import Mismatch, definitions_of, mismatches, shown
from ..types.statuses import NO_ROUTE

if TYPE_CHECKING:
    from ..types.results import FlowError

_MAX_LENGTH = 80

Schemas = Mapping[str, Any]
"""The input schemas of components by their path in flows."""


def hint_of(message: str) -> str | None:
    """Return what a server's message about a worker may mean; None for messages that say what they mean."""
    if "no heartbeat received" not in message:
        return None
    # The report of such a worker is refused, and the server waits for it in vain.
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
    value = shown(found.value)
    message = f"the value{found.message.removeprefix(value)}" if found.message.startswith(value) else found.message
    what = f"component {component} refuses its input: {message} (at {found.path})"
    if _is_literal(flow, step, schema):
        return f"{what}; a check of the flow finds this before a run"
    return f"{what}; if the flow declares a schema of its input, inputs are checked before a run"


class FailureHints:
    """Says what to change after runs of a flow have failed, as far as the flow, its input and the error tell.

    Args:
        flow: The flow, with the overrides of the runs.
        variables: The variables of the runs; `NOT_KNOWN` if they are not known.
    """

    def __init__(self, flow: Mapping[str, Any], variables: Any) -> None:
        self._flow = flow
        self._variables = variables

    def of(self, error: FlowError, input: Any) -> str | None:
        """Return the hint for an error of a run with an input; None for none.

        It is what the message of the server may mean, or which field of the input the failed step reads and does not
        find, or which field of its own input its component refuses, as far as no other step determines that.
        """
        said = hint_of(error.message)
        step = self._steps.get(error.step_id or "")
        if said is not None or step is None:
            return said
        if error.message.startswith(NO_ROUTE):
            return unknown_builtin(str(step.get("component")))
        missing = missing_field(references(step.get("input")), input)
        if missing is not None:
            return "; ".join(missing)
        try:
            evaluation = RecordedEvaluation(self._flow, input, self._variables, {}, is_over=False)
            given = evaluation.value(step.get("input"))
        except (Failure, NotKnownError, *BROKEN):
            return None
        return refusal(self._flow, step, given, {})

    @cached_property
    def _steps(self) -> dict[str, Mapping[str, Any]]:
        return steps_by_id(self._flow)


def unknown_builtin(component: str) -> str | None:
    """Return the hint for a misspelt builtin component; None if it may be one of a worker."""
    if not component.startswith("/builtin/") or component in BUILTINS:
        return None
    found = nearest(component, BUILTINS)
    return None if found is None else f"there is no component {component}; did you mean {found}?"


def missing_field(reads: Iterable[Reference], input: Any) -> tuple[str, str] | None:
    """Return which field of an input is read and missing, and what to do about it; None if none is.

    Args:
        reads: What is certainly read.
        input: The input of a run.
    """
    if not isinstance(input, Mapping):
        return None
    for each in reads:
        path = portable_path(each.path) if each.kind == "input" and each.is_certain and not each.in_condition else None
        if path and isinstance(path[0], str) and path[0] not in input:
            there = nearest(path[0], input)
            what = f"has {', '.join(map(str, input))}" if input else "is empty"
            said = f"the flow reads {path[0]} of its input, which {cut(what, _MAX_LENGTH)}"
            return said, f"write {path[0]} instead of {there}" if there else f"add {path[0]}: ..."
    return None


def _mismatch(value: Any, schema: Any) -> Mismatch | None:
    if not isinstance(schema, Mapping):
        return None
    return next(iter(mismatches(value, schema, definitions_of(schema))), None)


def _is_literal(flow: Mapping[str, Any], step: Mapping[str, Any], schema: Any) -> bool:
    """Return whether the refused value is in the flow itself."""
    evaluation = RecordedEvaluation(flow, NOT_KNOWN, NOT_KNOWN, {}, is_over=False)
    try:
        return _mismatch(evaluation.value(step.get("input")), schema) is not None
    except (Failure, NotKnownError, *BROKEN):
        return False
