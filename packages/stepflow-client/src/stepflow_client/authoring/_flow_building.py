"""Builds a flow by calling its function once and rendering the resulting steps and values as a flow file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from .._base.not_given import NOT_GIVEN
from ..errors import InvalidArgumentError, StepflowClientError
from ..flows import expressions
from . import _placeholders, _type_fields
from ._expression_functions import Variable
from ._operation_profiler import collecting_authoring_errors
from ._placeholders import REPR_PREFIX, Coalesce, Condition, Read, Value, authoring_error
from ._places import Place, cache_source, find_error_place, find_return_place, get_definition_place, set_call_place
from ._scopes import Scope, Step, SubFlow, check_json_data, make_depth_error

T = TypeVar("T")


@dataclass
class ItemResult(Generic[T]):
    """The outcome of a single element."""

    outcome: Literal["success", "failed"]
    """Whether the sub-flow succeeded for this element."""
    result: T = None  # type: ignore[assignment]
    """The sub-flow's output. For a failed element, it's None in a run's result, and reading it in a flow fails."""
    error: Any = None
    """A failed element's error: `code`, `message` and possibly more data."""


@dataclass
class MapOutput(Generic[T]):
    """Output of `each`."""

    results: list[ItemResult[T]]
    """One outcome per element, in order."""
    successful: int
    """Number of elements that succeeded."""
    failed: int
    """Number of elements that failed."""


@dataclass
class Iterated(Generic[T]):
    """Output of `iterate`."""

    result: T
    """The last turn's result, or the last input if the maximum number of turns was reached first."""
    iterations: int
    """Number of turns."""
    terminated: bool
    """Whether the maximum number of turns was reached."""


class FlowSignature(NamedTuple):
    """The parsed signature of a flow's function."""

    function: Callable[..., Any]
    input: str | None
    """Name of the input argument, or None if the flow has no input."""
    variables: dict[str, Variable]
    names: dict[str, str]
    """Maps argument names to the names of variables in the flow."""
    hints: dict[str, Any]


Call = Callable[[list[Any], Mapping[str, Any]], Any]
"""Calls a flow's function with its input and variables."""


class BuiltFlow(NamedTuple):
    """A flow file's content, along with where each part is defined in Python."""

    definition: dict[str, Any]
    places: dict[expressions.Path, Place]
    components: dict[str, Any]
    """The component functions that the flow calls, keyed by path."""


def parse_signature(function: Callable[..., Any], local_names: Mapping[str, Any]) -> FlowSignature:
    """Parse the signature of a flow's function.

    Raises:
        InvalidArgumentError: If the function has more than one input, or is async or a generator.
    """
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidArgumentError(f"the flow function {function.__name__} must not be async or a generator",
                                   hint="it is called once to build the flow, and not when the flow runs")  # fmt: skip
    hints = _type_fields.get_hints(function, local_names)
    input, variables, names = None, dict[str, Variable](), dict[str, str]()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            default = NOT_GIVEN if parameter.default is parameter.empty else parameter.default
            variables[name] = default if isinstance(default, Variable) else Variable(default)
            names[name] = _type_fields.get_json_name(hints.get(name), name)
        elif input is None and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            input = name
        else:
            message = f"the flow function {function.__name__} takes only one input, but {name!r} would be a second"
            hint = "put the fields of the input into one class; variables come after *"
            raise InvalidArgumentError(message, hint=hint)
    return FlowSignature(function, input, variables, names, hints)


def build_flow(name: str, parts: FlowSignature, call: Call, options: Mapping[str, Any]) -> BuiltFlow:
    """Build a flow.

    Args:
        name: The flow's name.
        parts: The function's parsed signature.
        call: Calls the function with its input and variables.
        options: The other parts of the flow, keyed by the names of `flow`'s arguments.

    Raises:
        AuthoringError: If the function does something a flow can't do.
    """
    scope, ending = Scope(f"the flow {name}", parts.input or "input"), find_return_place(parts.function)
    # Read the source now, because reading it while profiling would be slow.
    cache_source(parts.function)
    with scope.activate(), collecting_authoring_errors() as errors:
        input = [] if parts.input is None else [Value(Read(scope, None, (), parts.hints.get(parts.input, Any)))]
        reads = {
            argument: Read(scope, name, (), parts.hints.get(argument, Any)) for argument, name in parts.names.items()
        }
        variables = {argument: Value(read) for argument, read in reads.items()}
        try:
            result = _call_flow_function(call, input, variables)
        finally:
            if errors:
                # Raise the first error even if the function caught it, since it explains any later ones.
                raise errors[0]
        with set_call_place(ending):
            kind = parts.hints.get("return")
            if result is None and kind not in (None, type(None)):
                message = f"the function returns nothing, but its output is {_type_fields.get_type_name(kind)}"
                raise authoring_error(message, "return the output of the flow")
            output = None if result is None else scope.encode_value(result)
    _name_steps(scope)
    with set_call_place(ending):
        try:
            steps, output = _render_steps(scope), _render_value(output)
        except RecursionError:
            raise make_depth_error(scope.name) from None
        content = {
            "name": name,
            "description": options["description"] or inspect.getdoc(parts.function),
            "version": options["version"],
            "schemas": _make_flow_schemas(parts),
            "steps": steps,
            "output": output,
            "test": options["test"],
            "examples": options["examples"],
            "metadata": options.get("metadata"),
        }
        kept = None if result is None else "output"
        content = {key: value for key, value in content.items() if key == kept or value not in (None, [], {})}
        definition = check_json_data(content, scope.name)
    places = {(): get_definition_place(parts.function), ("output",): ending}
    return BuiltFlow(definition, places | _collect_source_places(scope), scope.components)


def _call_flow_function(call: Call, input: list[Any], variables: Mapping[str, Any]) -> Any:
    try:
        return call(input, variables)
    except StepflowClientError:
        raise
    except Exception as error:
        place = find_error_place(error)
        if place is None:
            raise
        with set_call_place(place):
            # pydantic and msgspec include the rejected value in the message.
            if REPR_PREFIX in str(error):
                kind = getattr(error, "title", "the class")
                raise authoring_error(f"{kind} validates its fields, and rejects values of the flow",
                             f"write construct({kind}, ...)") from None  # fmt: skip
            raise authoring_error(f"{type(error).__name__}: {error}") from error


def _make_flow_schemas(parts: FlowSignature) -> dict[str, Any]:
    kinds = {("variables", argument): parts.hints.get(argument, Any) for argument in parts.names}
    if parts.input is not None:
        kinds["input", ""] = parts.hints.get(parts.input, Any)
    kinds["output", ""] = parts.hints.get("return", Any)
    is_any = _type_fields.allows_any_value
    declared = {key: kind for key, kind in kinds.items() if not is_any(kind) and kind not in (None, type(None))}
    shared: dict[str, Any] = {}
    schemas: dict[tuple[str, str], Any] = {}
    if declared:
        # Avoid importing pydantic for flows without types.
        from ._schemas import make_defs_and_schemas

        shared, schemas = make_defs_and_schemas(declared)
    properties = {part: schemas[part, ""] for part in ("input", "output") if (part, "") in schemas}
    if parts.variables:
        variables = {}
        for name, variable in parts.variables.items():
            variables[parts.names[name]] = variable.make_schema(schemas.get(("variables", name), {}))
        required = [parts.names[name] for name, variable in parts.variables.items() if variable.is_required]
        more = {"required": required} if required else {}
        properties["variables"] = {"type": "object", "properties": variables, **more}
    return {key: part for key, part in (("$defs", shared), ("properties", properties)) if part}


def _name_steps(scope: Scope) -> None:
    """Assign each step an ID: its explicit ID, the name its output is assigned to, or its component's name.

    All explicit IDs are assigned first, then output names, then component names. As a result, a new step with one kind
    of ID never changes existing IDs of an earlier kind.
    """
    # Ignore case, because servers reject IDs that differ only in case.
    taken = {step_id.casefold() for step_id in scope.explicit_ids}
    waiting: list[Step] = []
    for step in scope.steps:
        if step.explicit_id is not None:
            step.step_id = step.explicit_id
        elif step.place.name is not None:
            step.step_id = _make_unique_id(step.place.name, taken)
        else:
            waiting.append(step)
    for step in waiting:
        step.step_id = _make_unique_id(step.name, taken)


def _make_unique_id(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free.casefold())
    return free


def _render_steps(scope: Scope) -> list[dict[str, Any]]:
    """Render a flow's steps in the format of a flow file. `_name_steps` must have assigned their IDs already."""
    steps = []
    for step in scope.steps:
        input = {} if step.input is NOT_GIVEN else {"input": _render_value(step.input)}
        steps.append({"id": step.step_id, "component": step.component, **input, **step.options})
    return steps


def _render_value(value: Any) -> Any:
    """Render a result of `Scope.encode_value` in the format of a flow file."""
    match value:
        case Read(source=Step() as step, path=path):
            return {"$step": step.step_id, **({"path": expressions.format_path(path)} if path else {})}
        case Read(source=None, path=path):
            return {"$input": expressions.format_path(path)}
        case Read(source=name, path=path, default=default):
            variable = {"$variable": expressions.format_path((str(name), *path)) if path else str(name)}
            return variable if default is NOT_GIVEN else {**variable, "default": _render_value(default)}
        case Condition(condition, then, otherwise):
            choice = {"$if": _render_value(condition), "then": _render_value(then)}
            return choice if otherwise is NOT_GIVEN else {**choice, "else": _render_value(otherwise)}
        case Coalesce(alternatives):
            return {"$coalesce": [_render_value(alternative) for alternative in alternatives]}
        case _placeholders.Literal(inner):
            return {"$literal": inner}
        case SubFlow():
            return _render_sub_flow(value)
        case dict():
            return {key: _render_value(part) for key, part in value.items()}
        case list():
            return [_render_value(element) for element in value]
    return value


def _render_sub_flow(sub_flow: SubFlow) -> dict[str, Any]:
    """Render a sub-flow as part of its step's input.

    Values captured from the outer flow become variable defaults, which are kept outside `$literal` so that the outer
    flow evaluates them.
    """
    scope = sub_flow.scope
    _name_steps(scope)
    parts = {"steps": _render_steps(scope), "output": _render_value(sub_flow.output)}
    parts = {key: part for key, part in parts.items() if key == "output" or part}
    if not scope.captured:
        return {"$literal": parts}
    # Servers evaluate the step's input in the outer flow, except for what's inside $literal.
    variables = {name: {"default": _render_value(value)} for name, value in scope.captured.items()}
    schemas = {"properties": {"variables": {"type": "object", "properties": variables}}}
    return {"schemas": schemas, **{key: {"$literal": part} for key, part in parts.items()}}


def _collect_source_places(scope: Scope, path: expressions.Path = ()) -> dict[expressions.Path, Place]:
    """Return where the steps of a flow and its sub-flows are defined in Python, keyed by their path in the flow."""
    places: dict[expressions.Path, Place] = {}
    for index, step in enumerate(scope.steps):
        step_path = (*path, "steps", index)
        places[step_path] = step.place
        for name, field in step.input.items() if isinstance(step.input, dict) else ():
            if isinstance(field, SubFlow):
                for (key, *below), place in _collect_source_places(field.scope).items():
                    # If the sub-flow captures values, each part has its own `$literal`. See `_render_sub_flow`.
                    start = (key, "$literal") if field.scope.captured else ("$literal", key)
                    places[(*step_path, "input", name, *start, *below)] = place
    return places
