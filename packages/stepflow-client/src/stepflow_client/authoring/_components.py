"""Components as functions: a call in the function of a flow adds a step."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ._lazy import arguments as checks, field_names, fields as field_types, inspect
from ._objects import check_function, encode_data
from ._scopes import Scope, Step, get_current_scope
from ._values import Given, Read, Value, refuse, unwatched
from .on_error import OnError

P = ParamSpec("P")
T = TypeVar("T")

OPTIONS = ("step", "on_error", "must_execute", "metadata")
"""The arguments that configure the step and are not part of its input."""


class _Parameters(NamedTuple):
    """The parts of the signature of a component's function."""

    signature: Any
    names: dict[str, str]
    """The names in JSON of the fields of the input."""
    whole: str | None
    """The argument that is the whole input; None if the input is an object of all of them."""
    output: Any
    """The type of the output."""


class Component:
    """A component of a server, as a function that adds a step."""

    def __init__(self, path: str, function: Callable[..., Any]) -> None:
        """Use `component` instead."""
        self.path, self.function = path, function
        self.__wrapped__ = function
        self.__name__, self.__qualname__ = function.__name__, function.__qualname__
        self.__doc__, self.__module__ = function.__doc__, function.__module__

    def __repr__(self) -> str:
        """Return its path."""
        return f"<component {self.path}>"

    def __reduce__(self) -> str:
        # Pickle it by its name, as functions are.
        return self.__qualname__

    @unwatched
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Add a step to the flow that is being written, and return the value of its output.

        Raises:
            AuthoringError: If no flow is being written, or if an argument is invalid.
        """
        scope = get_current_scope(f"{self.__name__}()")
        signature, names, whole, output = self._parameters
        try:
            given: dict[str, Any] = signature.bind(*arguments, **named).arguments
        except TypeError as error:
            raise refuse(
                f"{self.__name__}(): {error}", f"its arguments are {', '.join(names.values()) or 'none'}"
            ) from None
        options = {name: given.pop(name) for name in OPTIONS if name in given and name not in names}
        if whole is not None:
            sent = Given(scope.frozen(given[whole])) if whole in given else None
        else:
            fields: dict[str, Any] = {}
            for name, value in given.items():
                parameter = signature.parameters[name]
                if parameter.kind is parameter.VAR_KEYWORD:
                    fields |= {key: scope.frozen(part) for key, part in value.items()}
                elif type(value) is Value or value is not None or parameter.default is not None:
                    fields[names[name]] = scope.frozen(value)
            sent = Given(fields) if names else None
        scope.components[self.path] = self
        return add_step(scope, self.path, sent, self.path.rpartition("/")[2], output, **options)

    @cached_property
    def schemas(self) -> tuple[Any, Any]:
        """The schemas of its input and its output; `{}` for a type without a schema."""
        signature, names, whole, output = self._parameters
        hints = field_types.get_hints(self.function)
        parameters = {name: signature.parameters[name] for name in names}
        if whole is not None:
            return _make_schema(hints.get(whole, Any)), _make_schema(output)
        is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        fixed = {
            names[name]: parameter
            for name, parameter in parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        properties = {key: _make_schema(hints.get(field.name, Any)) for key, field in fixed.items()}
        required = [key for key, field in fixed.items() if field.default is field.empty]
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": is_open}
        return schema, _make_schema(output)

    @cached_property
    def _parameters(self) -> _Parameters:
        # Inspect functions lazily: modules of stubs have many.
        signature = inspect.signature(self.function)
        hints = field_types.get_hints(self.function)
        names, whole = {}, None
        for name, parameter in signature.parameters.items():
            named = field_names.get_json_name(hints.get(name), name)
            if name in OPTIONS and typing.get_origin(hints.get(name)) is not typing.Annotated:
                continue
            names[name] = named
            if parameter.kind is parameter.POSITIONAL_ONLY:
                whole = name
        return _Parameters(signature, names, whole, hints.get("return", Any))


def _make_schema(kind: Any) -> dict[str, Any]:
    """Return the schema of a type, without references into a flow; empty if there is none."""
    from ._schemas import make_schema

    return {} if field_types.is_open(kind) else make_schema(kind)


def component(path: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declare a component by a function with its input and output. The body of the function is never executed.

    `stepflow components stubs` writes such functions for all components of a server.

    Example:
        ```python
        @component("/shop/price")
        def price(*, sku: str, qty: int | None = None, step: str | None = None) -> Price:
            raise NotImplementedError
        ```

    Args:
        path: The path of the component in flows: `/shop/price`.

    The arguments of the function are the fields of the input. A field whose default is None is left out if it is None.
    `Annotated[..., Name("vat-rate")]` sets the name of a field that is not a Python name. If the only argument is
    positional-only, it is the whole input. The arguments `step`, `on_error`, `must_execute` and `metadata` configure
    the step.

    Raises:
        InvalidArgumentError: If the path does not start with `/`, or the decorated object is not a function.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise checks.wrong("the path of a component", "a text that begins with /", path)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        check_function(function, "@component")
        return Component(path, function)

    return decorate


def add_step(
    scope: Scope,
    path: str,
    input: Given | None,
    name: str,
    output: Any,
    *,
    step: str | None = None,
    on_error: OnError[Any] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Add a step to a flow and return the value of its output.

    Args:
        scope: The flow.
        path: The component.
        input: The input.
        name: The default id of the step, if its output is not assigned to a name.
        output: The type of the output.
        step: The id of the step.
        on_error: The reaction to a failure.
        must_execute: Whether it runs even if nothing reads its output.
        metadata: Data about the step.

    Raises:
        AuthoringError: If an option is invalid.
    """
    added: Step = scope.add(path, input, step, name)
    if on_error is not None:
        if not isinstance(on_error, OnError):
            message = f"on_error is made by the functions of on_error, not {checks.shown(on_error)}"
            raise refuse(message, "on_error.retry(3)")
        added.options["onError"] = on_error.to_dict()
    if must_execute is not False:
        if must_execute is not True:
            message = f"must_execute is True or False, not {checks.shown(must_execute)}"
            raise refuse(message, "it cannot depend on a value of the flow")
        added.options["mustExecute"] = True
    if metadata is not None:
        added.options["metadata"] = encode_data(metadata, "the metadata of a step")
    return Value(Read(scope, added, (), output))
