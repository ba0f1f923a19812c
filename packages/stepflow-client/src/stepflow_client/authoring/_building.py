"""Builds a flow: calls its function once, and puts together what is in its file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import InvalidArgumentError, StepflowClientError
from ..flows.expressions import Path
from . import _fields
from ._components import Component
from ._definitions import name_steps, places_of, rendered, steps_of
from ._objects import checked
from ._places import Place, place_of_definition, place_of_error, place_of_return, placed, read_source
from ._scopes import Scope
from ._values import MARK, Read, Value, refuse, too_deep
from ._variables import Variable
from ._watching import watched


class Parts(NamedTuple):
    """What the signature of a flow's function says."""

    function: Callable[..., Any]
    input: str | None
    """The name of its input; None without one."""
    variables: dict[str, Variable]
    names: dict[str, str]
    """The names of the variables in the flow, by those of the arguments."""
    hints: dict[str, Any]


Call = Callable[[list[Any], Mapping[str, Any]], Any]
"""Calls the function of a flow with its input and its variables."""


class Built(NamedTuple):
    """A flow as it is in a file, and where its parts are in Python."""

    definition: dict[str, Any]
    places: dict[Path, Place]
    components: dict[str, Component]
    """The functions of the components that it calls, by their paths."""


def parts_of_function(function: Callable[..., Any], local_names: Mapping[str, Any]) -> Parts:
    """Return what the signature of a flow's function says.

    Raises:
        InvalidArgumentError: If it has more than one input, or is asynchronous.
    """
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidArgumentError(f"the function {function.__name__} of a flow is neither async nor a generator",
                                   hint="it is called once, and waits for nothing: runs do")  # fmt: skip
    hints = _fields.hints_of_function(function, local_names)
    given, variables, names = None, dict[str, Variable](), dict[str, str]()
    for name, each in inspect.signature(function).parameters.items():
        if each.kind is each.KEYWORD_ONLY:
            variables[name] = Variable.of(each.default, is_given=each.default is not each.empty)
            names[name] = _fields.name_of(hints.get(name), name)
        elif given is None and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD):
            given = name
        else:
            raise InvalidArgumentError(
                f"the function {function.__name__} of a flow has one input, and {name!r} is another",
                hint="put the fields of the input into one class; variables come after *",
            )
    return Parts(function, given, variables, names, hints)


def build(name: str, parts: Parts, call: Call, options: Mapping[str, Any]) -> Built:
    """Return a flow.

    Args:
        name: Its name.
        parts: What its signature says.
        call: Calls the function with its input and its variables.
        options: The other parts of the flow, by the names of the arguments of `flow`.

    Raises:
        AuthoringError: If the function does what a flow cannot do.
    """
    scope, ending = Scope(f"the flow {name}", parts.input or "input"), place_of_return(parts.function)
    read_source(parts.function)
    with scope.entered(), watched() as refused:
        given = [] if parts.input is None else [Value(Read(scope, None, (), parts.hints.get(parts.input, Any)))]
        variables = {
            each: Value(Read(scope, parts.names[each], (), parts.hints.get(each, Any))) for each in parts.names
        }
        try:
            result = _called(call, given, variables)
        finally:
            if refused:
                # The first one explains what came of it, if the function has caught it.
                raise refused[0]
        # The function has returned: the position is that of its `return`.
        with placed(ending):
            output = _output(scope, parts, result)
    name_steps(scope)
    with placed(ending):
        whole = {
            "name": name,
            "description": options["description"] or inspect.getdoc(parts.function),
            "version": options["version"],
            "schemas": _schemas(parts),
            **_rendered(scope, output),
            "test": options["test"],
            "examples": options["examples"],
            "metadata": options.get("metadata"),
        }
        kept = {key: each for key, each in whole.items() if _is_kept(key, each, result)}
        definition = checked(kept, scope.name)
    places = {(): place_of_definition(parts.function), ("output",): ending}
    return Built(definition, places | places_of(scope), scope.components)


def _is_kept(key: str, part: Any, result: Any) -> bool:
    return result is not None if key == "output" else part not in (None, [], {})


def _rendered(scope: Scope, output: Any) -> dict[str, Any]:
    try:
        return {"steps": steps_of(scope), "output": rendered(output)}
    except RecursionError:
        raise too_deep(scope.name) from None


def _called(call: Call, given: list[Any], variables: Mapping[str, Any]) -> Any:
    try:
        return call(given, variables)
    except StepflowClientError:
        raise
    except Exception as error:
        place = place_of_error(error)
        if place is None:
            raise
        with placed(place):
            # Classes of pydantic and msgspec name the value that they refuse.
            if MARK in str(error):
                kind = getattr(error, "title", "the class")
                raise refuse(f"{kind} checks what it is created with, and a value of the flow does not pass",
                             f"write construct({kind}, ...)") from None  # fmt: skip
            raise refuse(f"{type(error).__name__}: {error}") from error


def _output(scope: Scope, parts: Parts, result: Any) -> Any:
    """Return the output of a flow as an expression; None without one."""
    if result is not None:
        return scope.frozen(result)
    if (kind := parts.hints.get("return")) not in (None, type(None)):
        message = f"the function returns nothing, and its output is {_fields.type_name(kind)}"
        raise refuse(message, "return the output of the flow")
    return None


def _schemas(parts: Parts) -> dict[str, Any]:
    kinds = {("variables", each): parts.hints.get(each, Any) for each in parts.names}
    if parts.input is not None:
        kinds["input", ""] = parts.hints.get(parts.input, Any)
    kinds["output", ""] = parts.hints.get("return", Any)
    known = {key: kind for key, kind in kinds.items() if not _fields.is_open(kind) and kind not in (None, type(None))}
    shared, found = _schemas_of(known) if known else ({}, {})
    properties = {part: found[part, ""] for part in ("input", "output") if (part, "") in found}
    if parts.variables:
        declared = {
            parts.names[name]: each.schema(found.get(("variables", name), {})) for name, each in parts.variables.items()
        }
        required = [parts.names[name] for name, each in parts.variables.items() if each.is_required]
        properties["variables"] = {"type": "object", "properties": declared}
        if required:
            properties["variables"]["required"] = required
    return {key: each for key, each in (("$defs", shared), ("properties", properties)) if each}


def _schemas_of(kinds: dict[tuple[str, str], Any]) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    # Flows without types do not need pydantic.
    from ._schemas import schemas_of

    return schemas_of(kinds)
