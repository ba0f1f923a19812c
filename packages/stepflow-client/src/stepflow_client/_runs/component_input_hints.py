"""Explains why a component rejected its input, resolving references the way the server did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._base.suggestions import find_nearest
from .._base.text_formatting import cut
from ..flows.components import BUILTINS
from ..flows.expressions import find_references, get_keyword, parse_unambiguous_path
from ..flows.graph import get_steps_by_id
from ..flows.interpreter import EXPRESSION_ERRORS, NOT_KNOWN, Failure, NotKnownError, RecordedInterpreter
from ..flows.json_schema import Mismatch, find_mismatches, get_defs, short_repr
from ..types.model_base import Record
from ..types.results import FlowError
from ..types.statuses import NO_ROUTE
from .failure_causes import ItemRecord


@dataclass(frozen=True, slots=True)
class ResolvedInput(Record):
    """A step's input, with as much of it resolved as possible."""

    value: Any
    """The input. References to unknown values are left in place."""
    not_known: tuple[str, ...] = ()
    """Descriptions of unknown values, e.g. `the input` or `the output of step a`."""
    failures: tuple[str, ...] = ()
    """Why parts of the input have no value, e.g. `Path $.card not found` or `charge_card failed`."""


def resolve_step_input(item: ItemRecord, step_id: str) -> ResolvedInput:
    """Resolve the references in a step's input, using the recorded outcomes of other steps."""
    definition = item.definitions.get(step_id)
    if definition is None:
        return ResolvedInput(None, ("the flow",))
    not_known, failures = dict[str, None](), dict[str, None]()

    def resolve(expression: Any) -> Any:
        """Resolve an expression part by part, so that one unknown part doesn't hide the other parts."""
        try:
            return item.evaluation.evaluate(expression)
        except (Failure, NotKnownError, *EXPRESSION_ERRORS) as error:
            if isinstance(expression, list):
                return [resolve(element) for element in expression]
            if isinstance(expression, Mapping) and get_keyword(expression) is None:
                return {key: resolve(value) for key, value in expression.items()}
            if isinstance(error, Failure):
                failures[error.message if error.step is None else f"{error.step} failed"] = None
            else:
                is_named = isinstance(error, NotKnownError)
                not_known[str(error) if is_named else "the value that the server reads here"] = None
            return expression

    value = resolve(definition.get("input"))
    return ResolvedInput(value, tuple(not_known), tuple(failures))


_MAX_FIELDS_LENGTH = 80


def may_component_return(component: str, value: Any) -> bool:
    """Return whether a component could have returned a value, judging by its schema (if known)."""
    schema = BUILTINS[component][1] if component in BUILTINS else {}
    return _find_mismatch(value, schema) is None


def find_run_error_hint(error: FlowError, flow: Mapping[str, Any], input: Any, variables: Any) -> str | None:
    """Suggest what to change after a run has failed, or return None if we don't know of a fix.

    Args:
        error: The run's error.
        flow: The flow, with the run's overrides applied.
        input: The run's input.
        variables: The run's variables, or `NOT_KNOWN`.
    """
    evaluation = RecordedInterpreter(flow, input, variables, {}, is_over=False)
    return find_step_failure_hint(evaluation, get_steps_by_id(flow).get(error.step_id or ""), error.message)


def find_step_failure_hint(
    evaluation: RecordedInterpreter,
    step: Mapping[str, Any] | None,
    message: str,
    schemas: Mapping[str, Any] | None = None,
) -> str | None:
    """Suggest what to change after a step has failed, or return None if we don't know of a fix.

    Args:
        evaluation: Evaluates the step's input.
        step: The failed step, or None if unknown.
        message: The error message.
        schemas: Component input schemas by path, in addition to those of builtin components.
    """
    if "no heartbeat received" in message:
        # If the output is too large, the server rejects the worker's report, and the heartbeat eventually times out.
        return "the worker crashed or its output is larger than 4 MB: store large outputs as blobs and return their IDs"
    if step is None:
        return None
    component = str(step.get("component"))
    if message.startswith(NO_ROUTE):
        is_builtin = component.startswith("/builtin/") and component not in BUILTINS
        similar = find_nearest(component, BUILTINS) if is_builtin else None
        return None if similar is None else f"unknown component {component}; did you mean {similar}?"
    try:
        value = evaluation.evaluate(step.get("input"))
    except (Failure, NotKnownError, *EXPRESSION_ERRORS):
        return _find_missing_field_hint(step, evaluation.input)
    schema = BUILTINS[component][0] if component in BUILTINS else (schemas or {}).get(component)
    mismatch = _find_mismatch(value, schema)
    if mismatch is None:
        return None
    # Don't show the value: it may be a secret.
    text, reason = short_repr(mismatch.value), mismatch.message
    if reason.startswith(text):
        reason = f"the value{reason.removeprefix(text)}"
    rejected = f"component {component} rejects its input: {reason} (at {mismatch.path})"
    try:
        # If the input is invalid even when evaluated from the flow alone, the value must be in the flow itself.
        with_flow_only = RecordedInterpreter(evaluation.flow, NOT_KNOWN, NOT_KNOWN, {}, is_over=False)
        literal = with_flow_only.evaluate(step.get("input"))
        is_literal = _find_mismatch(literal, schema) is not None
    except (Failure, NotKnownError, *EXPRESSION_ERRORS):
        is_literal = False
    advice = "to check inputs before a run, declare an input schema in the flow"
    return f"{rejected}; {'to find this before a run, check the flow' if is_literal else advice}"


def _find_missing_field_hint(step: Mapping[str, Any], input: Any) -> str | None:
    """Return a hint about a field that a step reads but the run's input lacks."""
    if not isinstance(input, Mapping):
        return None
    for read in find_references(step.get("input")):
        is_needed = read.kind == "input" and read.is_certain and not read.is_in_condition
        path = parse_unambiguous_path(read.path) if is_needed else None
        if path and isinstance(path[0], str) and path[0] not in input:
            similar = find_nearest(path[0], input)
            fields = f"has {', '.join(map(str, input))}" if input else "is empty"
            advice = f"write {path[0]} instead of {similar}" if similar else f"add {path[0]}: ..."
            return f"the flow reads {path[0]!r} from its input, which {cut(fields, _MAX_FIELDS_LENGTH)}; {advice}"
    return None


def _find_mismatch(value: Any, schema: Any) -> Mismatch | None:
    if not isinstance(schema, Mapping):
        return None
    return next(iter(find_mismatches(value, schema, get_defs(schema))), None)
