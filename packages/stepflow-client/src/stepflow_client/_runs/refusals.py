"""Explains why a component rejected its input, whose references are resolved as the server did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._base.text import cut, nearest
from ..flows.components import BUILTINS
from ..flows.expressions import get_keyword, portable_path, references
from ..flows.graph import steps_by_id
from ..flows.interpreter import BROKEN, NOT_KNOWN, Failure, NotKnownError, RecordedEvaluation
from ..flows.json_schema import Mismatch, get_defs, mismatches, short_repr
from ..types.models import Record
from ..types.statuses import NO_ROUTE

if TYPE_CHECKING:
    from ..types.results import FlowError
    from .causes import ItemCauses


@dataclass(frozen=True, slots=True)
class ResolvedInput(Record):
    """The input of a step, as far as it is known."""

    value: Any
    """The input. References with unknown values are unchanged."""
    not_known: tuple[str, ...] = ()
    """The unknown values, for example `the input`, `the output of step a`."""
    failures: tuple[str, ...] = ()
    """Reasons why parts of it have no value, for example `Path $.card not found`, `charge_card failed`."""


def resolve_input(item: ItemCauses, step_id: str) -> ResolvedInput:
    """Return the input of a step of an item, with its references resolved by the recorded outcomes of other steps."""
    definition = item.definitions.get(step_id)
    if definition is None:
        return ResolvedInput(None, ("the flow",))
    resolver = _Resolver(item.evaluation)
    value = resolver.resolve(definition.get("input"))
    return ResolvedInput(value, tuple(resolver.not_known), tuple(resolver.failures))


class _Resolver:
    """Resolves an expression part by part, so that an unknown part does not hide the others."""

    def __init__(self, evaluation: RecordedEvaluation) -> None:
        self._evaluation = evaluation
        self.not_known: dict[str, None] = {}
        self.failures: dict[str, None] = {}

    def resolve(self, expression: Any) -> Any:
        try:
            return self._evaluation.value(expression)
        except (Failure, NotKnownError, *BROKEN) as error:
            if isinstance(expression, list):
                return [self.resolve(element) for element in expression]
            if isinstance(expression, Mapping) and get_keyword(expression) is None:
                return {key: self.resolve(value) for key, value in expression.items()}
            if isinstance(error, Failure):
                self.failures[error.message if error.step is None else f"{error.step} failed"] = None
            else:
                self.not_known[
                    str(error) if isinstance(error, NotKnownError) else "the value that the server reads here"
                ] = None
            return expression


_MAX_LENGTH = 80


def has_known_schema(component: str) -> bool:
    """Return whether the input schema of a component is known without a server."""
    return component in BUILTINS


def may_return(component: str, value: Any) -> bool:
    """Return whether a component can have returned a value, as far as its schema is known."""
    schema = BUILTINS[component][1] if component in BUILTINS else {}
    return _find_mismatch(value, schema) is None


class FailureHints:
    """Explains failures of a flow's runs by the flow, their input and their error.

    Args:
        flow: The flow, with the overrides of the runs.
        variables: The variables of the runs; `NOT_KNOWN` if they are not known.
    """

    def __init__(self, flow: Mapping[str, Any], variables: Any) -> None:
        self._flow = flow
        self._variables = variables

    def find_hint(self, error: FlowError, input: Any) -> str | None:
        """Return the hint for the error of a run with an input; None if there is none."""
        evaluation = RecordedEvaluation(self._flow, input, self._variables, {}, is_over=False)
        step = None if error.step_id is None else self._steps.get(error.step_id)
        return find_failure_hint(self._flow, step, error.message, input, evaluation)

    @cached_property
    def _steps(self) -> dict[str, Mapping[str, Any]]:
        return steps_by_id(self._flow)


def find_failure_hint(
    flow: Mapping[str, Any],
    step: Mapping[str, Any] | None,
    message: str,
    input: Any,
    evaluation: RecordedEvaluation,
    schemas: Mapping[str, Any] | None = None,
) -> str | None:
    """Return what to change after a step has failed; None if that is not known.

    Args:
        flow: The flow, with the overrides of the run.
        step: The step that failed; None if it is not known.
        message: The message of the error.
        input: The input of the run.
        evaluation: Evaluates the input of the step.
        schemas: The input schemas of components by their path, in addition to those of builtin components.
    """
    if "no heartbeat received" in message:
        # The server rejects the report of such a worker, and waits until the heartbeats time out.
        return (
            "the worker has crashed, or its output is larger than 4 MB: store large outputs as blobs, return their ids"
        )
    if step is None:
        return None
    component = str(step.get("component"))
    if message.startswith(NO_ROUTE):
        is_builtin = component.startswith("/builtin/") and component not in BUILTINS
        similar = nearest(component, BUILTINS) if is_builtin else None
        return None if similar is None else f"there is no component {component}; did you mean {similar}?"
    try:
        value = evaluation.value(step.get("input"))
    except (Failure, NotKnownError, *BROKEN):
        return _find_missing_field_hint(step, input)
    schema = BUILTINS[component][0] if component in BUILTINS else (schemas or {}).get(component)
    mismatch = _find_mismatch(value, schema)
    if mismatch is None:
        return None
    # The value may be a secret.
    text = short_repr(mismatch.value)
    reason = (
        f"the value{mismatch.message.removeprefix(text)}" if mismatch.message.startswith(text) else mismatch.message
    )
    rejected = f"component {component} rejects its input: {reason} (at {mismatch.path})"
    try:
        # If nothing but the flow is known, the rejected value is in the flow itself.
        literal = RecordedEvaluation(flow, NOT_KNOWN, NOT_KNOWN, {}, is_over=False).value(step.get("input"))
        is_literal = _find_mismatch(literal, schema) is not None
    except (Failure, NotKnownError, *BROKEN):
        is_literal = False
    if is_literal:
        return f"{rejected}; a check of the flow finds this before a run"
    return f"{rejected}; if the flow declares a schema of its input, inputs are checked before a run"


def _find_missing_field_hint(step: Mapping[str, Any], input: Any) -> str | None:
    """Return the hint about a field that a step reads and that is missing in the input of the run."""
    if not isinstance(input, Mapping):
        return None
    for read in references(step.get("input")):
        path = portable_path(read.path) if read.kind == "input" and read.is_certain and not read.in_condition else None
        if path and isinstance(path[0], str) and path[0] not in input:
            similar = nearest(path[0], input)
            fields = f"has {', '.join(map(str, input))}" if input else "is empty"
            advice = f"write {path[0]} instead of {similar}" if similar else f"add {path[0]}: ..."
            return f"the flow reads {path[0]!r} from its input, which {cut(fields, _MAX_LENGTH)}; {advice}"
    return None


def _find_mismatch(value: Any, schema: Any) -> Mismatch | None:
    if not isinstance(schema, Mapping):
        return None
    return next(iter(mismatches(value, schema, get_defs(schema))), None)
