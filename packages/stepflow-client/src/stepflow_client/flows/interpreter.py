"""Evaluate a flow the way a server would, including expressions, lazy steps and error handling. There is no I/O, and
components are plain functions.

`Interpreter` executes a flow. `RecordedInterpreter` re-evaluates the expressions of a flow that has already run on a
server, using the recorded step outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._base.error_classes import InvalidArgumentError
from .._base.not_given import NOT_GIVEN
from .._data.flow_declarations import get_declared_schema, get_fields, get_unset_value
from .._data.wire import apply_patch, unify_overrides
from .expressions import PathError, find_references, get_keyword, parse_path

_CAUGHT_CODES = (2, 3, 4, 5, 6, 7, 8, 10)
RETRIED_CODES = (3, 7)
"""The numeric error codes (COMPONENT_FAILED and RESOURCE_UNAVAILABLE) that cause a step with `retry` to be retried."""


class Failure(Exception):
    """A step or item failed. Carries a message and the wire protocol's error code."""

    def __init__(self, code: int, message: str, *, is_own: bool = False, step: str | None = None) -> None:
        """Record what failed: a component (if `is_own` is True, in which case error handling applies), a step, or the
        expression itself."""
        super().__init__(message)
        self.code, self.message, self.is_own, self.step = code, message, is_own, step
        self.others: tuple[Failure, ...] = ()
        """Failures elsewhere in the same expression. Servers report only one of them."""
        self.is_sure = True
        """False if a part whose value is unknown might have failed instead."""


class NotKnownError(Exception):
    """An expression depends on an unknown value."""

    def __init__(self, what: str, *, may_fail: bool = True) -> None:
        """Record which value is unknown, and whether reading it might fail. (Reading a completed step's whole output
        never fails.)"""
        super().__init__(what)
        self.may_fail = may_fail


EXPRESSION_ERRORS = (LookupError, TypeError, AttributeError, RecursionError, PathError)
"""Exceptions that can be raised when evaluating an expression that servers would reject."""
NOT_KNOWN: Any = object()
"""Marks an unknown input, output or set of variables."""


@dataclass(eq=False, repr=False)
class StepRun:
    """A step's outcome."""

    step: Mapping[str, Any]
    index: int
    attempts: int = 0
    output: Any = None
    failure: Failure | None = None


@dataclass(eq=False, repr=False)
class Interpreter:
    """Evaluates a single item of a run."""

    flow: Mapping[str, Any]
    input: Any
    variables: Mapping[str, Any]
    call: Callable[[str, Any], Any]
    """A function that calls the component at a path with an input. It raises Failure if the component fails."""
    steps: dict[str, StepRun] = field(default_factory=dict)
    """The steps that ran, in order of completion."""

    def run(self) -> Any:
        """Run all `mustExecute` steps and all steps that the output needs, and return the output.

        Raises:
            Failure: If the item fails.
        """
        for step in self.flow.get("steps") or ():
            if step.get("mustExecute"):
                self._get_step_outcome(step["id"])
        # Like servers, run every step that the output needs, even after one of them fails.
        output = self.flow.get("output")
        certain = {read.step for read in find_references(output) if read.step and read.is_certain}
        for step_id in sorted(certain - {*self.steps}, key=self._find_step_index):
            self._get_step_outcome(step_id)
        return self.evaluate(output)

    def _find_step_index(self, step_id: str) -> int:
        return next((index for index, step in enumerate(self.flow["steps"]) if step["id"] == step_id), -1)

    def evaluate(self, expression: Any) -> Any:
        """Evaluate an expression."""
        if isinstance(expression, list):
            return [self.evaluate(element) for element in expression]
        if not isinstance(expression, Mapping):
            return expression
        match get_keyword(expression):
            case "$literal":
                return expression["$literal"]
            case "$if":
                is_true = self._is_condition_true(expression["$if"])
                return self.evaluate(expression["then"] if is_true else expression.get("else"))
            case "$coalesce":
                values = map(self.evaluate, expression["$coalesce"])
                return next((value for value in values if value is not None), None)
            case "$step":
                step_id, path = expression["$step"], expression.get("path")
                done = self._get_step_outcome(step_id)
                if done.failure is not None:
                    raise Failure(done.failure.code, done.failure.message, step=step_id)
                if done.output is NOT_KNOWN:
                    raise NotKnownError(f"the output of step {step_id}", may_fail=bool(parse_path(path)))
                return None if done.output is None else _read_required_path(done.output, path, "Path")
            case "$input":
                return _read_required_path(self.input, expression["$input"], "Input path")
            case "$variable":
                return self._read_variable(expression)
        return {key: self.evaluate(value) for key, value in expression.items()}

    def _is_condition_true(self, condition: Any) -> bool:
        try:
            value = self.evaluate(condition)
        except Failure:
            return False
        return value is not None and value is not False

    def _read_variable(self, expression: Mapping[str, Any]) -> Any:
        name, *path = parse_path(expression["$variable"]) or ("",)
        if isinstance(name, str):
            declared, required = get_fields(get_declared_schema(self.flow, "variables"))
            value = self.variables.get(name, get_unset_value(declared.get(name), is_required=name in required))
            try:
                if value is not NOT_GIVEN:
                    return get_value_at_path(value, path)
            except LookupError:
                pass
            if "default" in expression:
                return self.evaluate(expression["default"])
        raise Failure(8, f"Undefined variable: {name}")

    def _get_step_outcome(self, step_id: str) -> StepRun:
        if step_id in self.steps:
            return self.steps[step_id]
        index = self._find_step_index(step_id)
        if index < 0:
            raise Failure(9, f"Step {step_id} not completed")
        done = StepRun(self.flow["steps"][index], index)
        try:
            done.output = self._run_attempts(done, self.evaluate(done.step.get("input")))
        except Failure as failure:
            handling = done.step.get("onError") or {}
            if failure.is_own and failure.code in _CAUGHT_CODES and handling.get("action") == "useDefault":
                done.output = handling.get("defaultValue")
            else:
                done.failure = failure
        self.steps[step_id] = done
        return done

    def _run_attempts(self, done: StepRun, step_input: Any) -> Any:
        while True:
            done.attempts += 1
            try:
                return self.call(done.step["component"], step_input)
            except Failure as failure:
                if done.attempts >= get_max_attempts(done.step) or failure.code not in RETRIED_CODES:
                    raise


class RecordedInterpreter(Interpreter):
    """Evaluates a flow's expressions using recorded step outcomes, without calling any components.

    Args:
        flow: The flow, with the run's overrides applied.
        input: The item's input, or `NOT_KNOWN`.
        variables: The variables passed to the run, or `NOT_KNOWN`.
        steps: The outcomes of completed steps, keyed by step ID.
        is_over: Whether every step that the item needs has completed. If False, a step without an outcome may still be
            running.
    """

    def __init__(
        self, flow: Mapping[str, Any], input: Any, variables: Any, steps: Mapping[str, StepRun], *, is_over: bool = True
    ) -> None:
        # The callback is never used: `_get_step_outcome` only returns recorded outcomes.
        super().__init__(flow, input, variables, lambda path, step_input: NOT_KNOWN, dict(steps))
        self._is_over = is_over

    def evaluate(self, expression: Any) -> Any:
        """Evaluate an expression.

        Raises:
            Failure: If the expression fails. If one part fails and another is unknown, the failure wins.
            NotKnownError: If the value depends on something unknown.
        """
        if isinstance(expression, list):
            return list(self._evaluate_parts(dict(enumerate(expression))).values())
        if isinstance(expression, Mapping):
            keyword = get_keyword(expression)
            if keyword == "$input" and self.input is NOT_KNOWN:
                raise NotKnownError("the input")
            if keyword == "$variable" and self.variables is NOT_KNOWN:
                raise NotKnownError("the variables")
            if keyword is None:
                return self._evaluate_parts(expression)
            if keyword == "$coalesce":
                return _evaluate_marking_unknown_as_fallible(super().evaluate, expression)
        return super().evaluate(expression)

    def _is_condition_true(self, condition: Any) -> bool:
        return bool(_evaluate_marking_unknown_as_fallible(super()._is_condition_true, condition))

    def _evaluate_parts(self, parts: Mapping[Any, Any]) -> dict[Any, Any]:
        """Evaluate every part of an object or list, collecting failures along the way."""
        values: dict[Any, Any] = {}
        failures: list[Failure] = []
        not_known: NotKnownError | None = None
        for key, part in parts.items():
            try:
                values[key] = self.evaluate(part)
            except NotKnownError as error:
                not_known = error if not_known is None or error.may_fail else not_known
            except Failure as failure:
                failures += [failure, *failure.others]
        if failures:
            failures[0].others = tuple(failures[1:])
            may_differ = not_known is not None and not_known.may_fail
            failures[0].is_sure = not may_differ and all(failure.is_sure for failure in failures)
            raise failures[0]
        if not_known is not None:
            raise not_known
        return values

    def _get_step_outcome(self, step_id: str) -> StepRun:
        if step_id not in self.steps:
            if not self._is_over:
                raise NotKnownError(f"step {step_id}")
            raise Failure(9, f"Step {step_id} not completed")
        return self.steps[step_id]


def _evaluate_marking_unknown_as_fallible(evaluate: Callable[[Any], Any], expression: Any) -> Any:
    """Evaluate an expression. If its value is unknown, report that it may fail, because whatever would be evaluated
    next might fail."""
    try:
        return evaluate(expression)
    except NotKnownError as error:
        raise NotKnownError(str(error)) from error


def get_max_attempts(step: Mapping[str, Any]) -> int:
    """Return how many times a server attempts a step that keeps failing with a code in `RETRIED_CODES`."""
    handling = step.get("onError") or {}
    return 1 + int(handling.get("maxRetries", 3)) if handling.get("action") == "retry" else 1


def apply_overrides(flow: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Apply overrides to a flow. Raise LookupError if a step doesn't exist."""
    changes = overrides.get("steps", {})
    known = {step["id"] for step in flow.get("steps") or ()}
    unknown = next((step_id for step_id in changes if step_id not in known), None)
    if unknown is not None:
        raise LookupError(f"failed to apply workflow overrides: step {unknown} not found")
    steps = [apply_patch(step, (changes.get(step["id"]) or {}).get("value", {})) for step in flow.get("steps") or ()]
    return {**flow, "steps": steps}


def apply_overrides_if_valid(flow: Mapping[str, Any], overrides: Any) -> Mapping[str, Any]:
    """Apply a run's overrides, in any accepted form. If they're invalid, return the flow unchanged."""
    try:
        changes = unify_overrides(overrides)
        return apply_overrides(dict(flow), {"steps": changes}) if changes else flow
    except (InvalidArgumentError, LookupError, TypeError):
        return flow


def _read_required_path(value: Any, path: Any, what: str) -> Any:
    try:
        return get_value_at_path(value, parse_path(path))
    except (LookupError, PathError):
        shown = path if str(path).startswith("$") else f"$.{path}"
        raise Failure(8, f"{what} {shown} not found") from None


def get_value_at_path(value: Any, parts: Iterable[str | int]) -> Any:
    """Return the part of a value at a path. Raise LookupError if the path doesn't exist."""
    for part in parts:
        if not isinstance(value, list if isinstance(part, int) else Mapping):
            raise LookupError(part)
        value = value[part]  # type: ignore[index]
    return value
