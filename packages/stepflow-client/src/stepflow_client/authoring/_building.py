"""Builds a flow: calls its function once, and returns the content of its file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from ..errors import InvalidArgumentError, StepflowClientError
from ..flows.expressions import Path
from . import _fields
from ._components import Component
from ._definitions import collect_places, name_steps, render, render_steps
from ._objects import check_data
from ._places import Place, cache_source, find_error_place, find_return_place, fix_place, get_definition_place
from ._scopes import Scope
from ._values import MARK, Read, Value, depth_error, refuse
from ._variables import Variable
from ._watching import watch_errors

T = TypeVar("T")


@dataclass
class ItemResult(Generic[T]):
    """The outcome of one element."""

    outcome: Literal["success", "failed"]
    """Whether its sub-flow succeeded."""
    result: T = None  # type: ignore[assignment]
    """Its output. A failed element has none: a flow that reads it fails, and in a result it is None."""
    error: Any = None
    """The error of a failed element: `code`, `message`, and further data."""


@dataclass
class MapOutput(Generic[T]):
    """The output of `each`."""

    results: list[ItemResult[T]]
    """The outcomes of the elements, in their order."""
    successful: int
    """The number of elements that succeeded."""
    failed: int
    """The number of elements that failed."""


@dataclass
class Iterated(Generic[T]):
    """The output of `iterate`."""

    result: T
    """The result of the last turn; the last input if the maximum was reached."""
    iterations: int
    """The number of turns."""
    terminated: bool
    """Whether the maximum number of turns was reached."""


class Signature(NamedTuple):
    """The parts of the signature of a flow's function."""

    function: Callable[..., Any]
    input: str | None
    """The name of the argument for the input; None without input."""
    variables: dict[str, Variable]
    names: dict[str, str]
    """The names of the variables in the flow, by the names of the arguments."""
    hints: dict[str, Any]


Call = Callable[[list[Any], Mapping[str, Any]], Any]
"""Calls the function of a flow with its input and its variables."""


class BuiltFlow(NamedTuple):
    """The content of a flow file, and the positions of its parts in Python."""

    definition: dict[str, Any]
    places: dict[Path, Place]
    components: dict[str, Component]
    """The components that it calls, by their paths."""


def parse_signature(function: Callable[..., Any], local_names: Mapping[str, Any]) -> Signature:
    """Return the parts of the signature of a flow's function.

    Raises:
        InvalidArgumentError: If it has more than one input, or is asynchronous or a generator.
    """
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidArgumentError(f"the function {function.__name__} of a flow is neither async nor a generator",
                                   hint="it is called once to build the flow, and not when the flow runs")  # fmt: skip
    hints = _fields.get_hints(function, local_names)
    given, variables, names = None, dict[str, Variable](), dict[str, str]()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            variables[name] = Variable.of(parameter.default, is_given=parameter.default is not parameter.empty)
            names[name] = _fields.get_json_name(hints.get(name), name)
        elif given is None and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            given = name
        else:
            raise InvalidArgumentError(
                f"the function {function.__name__} of a flow has one input, and {name!r} is another",
                hint="put the fields of the input into one class; variables come after *",
            )
    return Signature(function, given, variables, names, hints)


def build_flow(name: str, parts: Signature, call: Call, options: Mapping[str, Any]) -> BuiltFlow:
    """Build a flow.

    Args:
        name: Its name.
        parts: The parts of its signature.
        call: Calls the function with its input and its variables.
        options: The other parts of the flow, by the names of the arguments of `flow`.

    Raises:
        AuthoringError: If the function does something that a flow cannot do.
    """
    scope, ending = Scope(f"the flow {name}", parts.input or "input"), find_return_place(parts.function)
    # Reading the source takes time if it is profiled, so read it before.
    cache_source(parts.function)
    with scope.entered(), watch_errors() as errors:
        input = [] if parts.input is None else [Value(Read(scope, None, (), parts.hints.get(parts.input, Any)))]
        variables = {
            each: Value(Read(scope, parts.names[each], (), parts.hints.get(each, Any))) for each in parts.names
        }
        try:
            result = _call_function(call, input, variables)
        finally:
            if errors:
                # If the function caught errors, the first one explains the others.
                raise errors[0]
        with fix_place(ending):
            kind = parts.hints.get("return")
            if result is None and kind not in (None, type(None)):
                message = f"the function returns nothing, and its output is {_fields.name_type(kind)}"
                raise refuse(message, "return the output of the flow")
            output = None if result is None else scope.frozen(result)
    name_steps(scope)
    with fix_place(ending):
        try:
            steps, output = render_steps(scope), render(output)
        except RecursionError:
            raise depth_error(scope.name) from None
        whole = {
            "name": name,
            "description": options["description"] or inspect.getdoc(parts.function),
            "version": options["version"],
            "schemas": _make_schemas(parts),
            "steps": steps,
            "output": output,
            "test": options["test"],
            "examples": options["examples"],
            "metadata": options.get("metadata"),
        }
        kept = {
            key: value
            for key, value in whole.items()
            if (result is not None if key == "output" else value not in (None, [], {}))
        }
        definition = check_data(kept, scope.name)
    places = {(): get_definition_place(parts.function), ("output",): ending}
    return BuiltFlow(definition, places | collect_places(scope), scope.components)


def _call_function(call: Call, input: list[Any], variables: Mapping[str, Any]) -> Any:
    try:
        return call(input, variables)
    except StepflowClientError:
        raise
    except Exception as error:
        place = find_error_place(error)
        if place is None:
            raise
        with fix_place(place):
            # Classes of pydantic and msgspec name the value that they reject.
            if MARK in str(error):
                kind = getattr(error, "title", "the class")
                raise refuse(f"{kind} validates its fields, and rejects a value of the flow",
                             f"write construct({kind}, ...)") from None  # fmt: skip
            raise refuse(f"{type(error).__name__}: {error}") from error


def _make_schemas(parts: Signature) -> dict[str, Any]:
    kinds = {("variables", each): parts.hints.get(each, Any) for each in parts.names}
    if parts.input is not None:
        kinds["input", ""] = parts.hints.get(parts.input, Any)
    kinds["output", ""] = parts.hints.get("return", Any)
    declared = {
        key: kind for key, kind in kinds.items() if not _fields.is_open(kind) and kind not in (None, type(None))
    }
    shared: dict[str, Any] = {}
    schemas: dict[tuple[str, str], Any] = {}
    if declared:
        # Import pydantic only for flows with types.
        from ._schemas import make_schemas

        shared, schemas = make_schemas(declared)
    properties = {part: schemas[part, ""] for part in ("input", "output") if (part, "") in schemas}
    if parts.variables:
        variables = {
            parts.names[name]: variable.schema(schemas.get(("variables", name), {}))
            for name, variable in parts.variables.items()
        }
        required = [parts.names[name] for name, variable in parts.variables.items() if variable.is_required]
        properties["variables"] = {"type": "object", "properties": variables}
        if required:
            properties["variables"]["required"] = required
    return {key: each for key, each in (("$defs", shared), ("properties", properties)) if each}
