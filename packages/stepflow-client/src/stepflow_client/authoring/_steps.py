"""The functions that add steps to a flow: components, and `each` and `iterate` with their sub-flows."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Never, ParamSpec, TypeVar

from .._base.lazy import lazy_module
from ._lazy import arguments, fields, inspect, json_encoding
from ._scopes import Scope, SubFlow, check_function, encode_data, get_current_scope
from ._values import Present, Read, Record, Value, refuse, unwatched
from .on_error import OnError

if TYPE_CHECKING:
    from . import _building as outputs
    from ._building import Iterated, MapOutput
else:
    outputs = lazy_module("stepflow_client.authoring._building")

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

OPTIONS = ("step", "on_error", "must_execute", "metadata")
"""The arguments that configure the step and are not part of its input."""


class _Parameters(NamedTuple):
    """The parts of the signature of a component's function."""

    signature: Any
    names: dict[str, str]
    """The names in JSON of the fields of the input."""
    input: str | None
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
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Add a step to the flow that is being written, and return the value of its output.

        Raises:
            AuthoringError: If no flow is being written, or if an argument is invalid.
        """
        scope = get_current_scope(f"{self.__name__}()")
        signature, names, input_name, output = self._parameters
        try:
            bound: dict[str, Any] = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise refuse(
                f"{self.__name__}(): {error}", f"its arguments are {', '.join(names.values()) or 'none'}"
            ) from None
        options = {name: bound.pop(name) for name in OPTIONS if name in bound and name not in names}
        if input_name is not None:
            input = Present(scope.freeze(bound[input_name])) if input_name in bound else None
        else:
            content: dict[str, Any] = {}
            for name, value in bound.items():
                parameter = signature.parameters[name]
                if parameter.kind is parameter.VAR_KEYWORD:
                    content |= {key: scope.freeze(part) for key, part in value.items()}
                elif type(value) is Value or value is not None or parameter.default is not None:
                    content[names[name]] = scope.freeze(value)
            input = Present(content) if names else None
        scope.components[self.path] = self
        return add_step(scope, self.path, input, self.path.rpartition("/")[2], output, **options)

    @cached_property
    def schemas(self) -> tuple[Any, Any]:
        """The schemas of its input and its output; `{}` for a type without a schema."""
        signature, names, input_name, output = self._parameters
        hints = fields.get_hints(self.function)
        if input_name is not None:
            return _make_schema(hints.get(input_name, Any)), _make_schema(output)
        properties, required, is_open = {}, [], False
        for name, key in names.items():
            parameter = signature.parameters[name]
            if parameter.kind is parameter.VAR_KEYWORD:
                is_open = True
                continue
            properties[key] = _make_schema(hints.get(name, Any))
            if parameter.default is parameter.empty:
                required.append(key)
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": is_open}
        return schema, _make_schema(output)

    @cached_property
    def _parameters(self) -> _Parameters:
        # Inspect functions lazily: modules of stubs have many.
        signature = inspect.signature(self.function)
        hints = fields.get_hints(self.function)
        names, input_name = {}, None
        for name, parameter in signature.parameters.items():
            if name in OPTIONS and typing.get_origin(hints.get(name)) is not typing.Annotated:
                continue
            names[name] = json_encoding.get_json_name(hints.get(name), name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                input_name = name
        return _Parameters(signature, names, input_name, hints.get("return", Any))


def _make_schema(kind: Any) -> dict[str, Any]:
    """Return the schema of a type, without references into a flow; empty if there is none."""
    from ._schemas import make_schema

    return {} if fields.is_open(kind) else make_schema(kind)


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
        raise arguments.wrong("the path of a component", "a text that begins with /", path)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        check_function(function, "@component")
        return Component(path, function)

    return decorate


def add_step(
    scope: Scope,
    path: str,
    input: Present | None,
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
    new_step = scope.add_step(path, input, step, name)
    if on_error is not None:
        if not isinstance(on_error, OnError):
            message = f"on_error is made by the functions of on_error, not {arguments.shown(on_error)}"
            raise refuse(message, "on_error.retry(3)")
        new_step.options["onError"] = on_error.to_dict()
    if must_execute is not False:
        if must_execute is not True:
            message = f"must_execute is True or False, not {arguments.shown(must_execute)}"
            raise refuse(message, "it cannot depend on a value of the flow")
        new_step.options["mustExecute"] = True
    if metadata is not None:
        new_step.options["metadata"] = encode_data(metadata, "the metadata of a step")
    return Value(Read(scope, new_step, (), output))


def each(
    items: Sequence[T],
    body: Callable[[T], R],
    *,
    step: str | None = None,
    max_concurrency: int | None = None,
    on_error: OnError[Any] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> MapOutput[R]:
    """Run a sub-flow for each element of a list: a step of `/builtin/map`.

    Example:
        ```python
        prices = each(given.others, lambda other: shop.price(sku=other.sku).eur)
        first = prices.results[0].result
        ```

    Args:
        items: A list: a value of the flow, or a Python list.
        body: A function of an element, or a flow. Its calls become the steps of the sub-flow, and its return value the
            output. It may read values of the outer flow.
        step: The id of the step. None, the default, uses the name that the output is assigned to.
        max_concurrency: The number of elements at a time. Servers check it and ignore it.
        on_error: The reaction to a failure of the step. Failed elements do not make the step fail.
        must_execute: Whether it runs even if nothing reads its output.
        metadata: Data about the step.

    Returns:
        The output of the step: `results` has one outcome for each element, in their order.

    Raises:
        AuthoringError: If the body does something that a flow cannot do.
    """
    scope = get_current_scope("each()")
    flow, output = _make_sub_flow(scope, "each", body, _get_element_kind(items))
    input = {"items": scope.freeze(items), "workflow": flow}
    if max_concurrency is not None:
        input["max_concurrency"] = scope.freeze(max_concurrency)
    map_output: MapOutput[R] = add_step(
        scope, "/builtin/map", Present(input), "each", outputs.MapOutput[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return map_output


class Turn(Generic[R_co, T_co]):
    """The return type of the function of `iterate`: `done(...)` or `again(...)`. It exists only for type checkers."""


def done(value: R) -> Turn[R, Never]:
    """Return the result of `iterate`, which ends it."""
    turn: Turn[R, Never] = _make_turn("result", value)
    return turn


def again(value: T) -> Turn[Never, T]:
    """Return the input of the next turn of `iterate`."""
    turn: Turn[Never, T] = _make_turn("next", value)
    return turn


def _make_turn(key: str, value: Any) -> Any:
    return Value(Record(None, {key: get_current_scope("done() and again()").freeze(value)}))


def iterate(
    initial: T,
    body: Callable[[T], Turn[R, T]],
    *,
    step: str | None = None,
    max_iterations: int | None = None,
    on_error: OnError[Any] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Iterated[R]:
    """Run a sub-flow repeatedly until it is done: a step of `/builtin/iterate`.

    Example:
        ```python
        def refine(draft: str) -> Turn[str, str]:
            review = editor.review(text=draft)
            return when(review.is_good, done(draft), again(review.text))

        text = iterate(given.draft, refine).result
        ```

    Args:
        initial: The input of the first turn.
        body: A function of the input of a turn, which returns `done(result)`, `again(input of the next turn)`, or a
            choice between them. It may read values of the outer flow.
        step: The id of the step. None, the default, uses the name that the output is assigned to.
        max_iterations: Maximum number of turns; the default of servers is 1,000. After that, `result` is the last input
            and `terminated` is true.
        on_error: The reaction if a turn fails.
        must_execute: Whether it runs even if nothing reads its output.
        metadata: Data about the step.

    Raises:
        AuthoringError: If the body does something that a flow cannot do.
    """
    scope = get_current_scope("iterate()")
    flow, output = _make_sub_flow(scope, "iterate", body, _get_kind(initial))
    input = {"flow": flow, "initial_input": scope.freeze(initial)}
    if max_iterations is not None:
        input["max_iterations"] = scope.freeze(max_iterations)
    iterated: Iterated[R] = add_step(
        scope, "/builtin/iterate", Present(input), "iterate", outputs.Iterated[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return iterated


def _make_sub_flow(scope: Scope, name: str, body: Callable[[Any], Any], kind: Any) -> tuple[SubFlow, Any]:
    """Return the sub-flow of a function, and the type of its output."""
    if not callable(body):
        raise refuse(f"{name}() expects a function with one argument, not {arguments.shown(body)}")
    try:
        parameters = inspect.signature(body).parameters
    except ValueError:
        message = f"{name}() takes a function with a known signature, not {arguments.shown(body)}"
        raise refuse(message, "use a lambda") from None
    required = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty and parameter.kind < parameter.VAR_POSITIONAL
    ]
    if not parameters or len(required) > 1:
        raise refuse(f"{name}() expects a function with one argument, not with {', '.join(required) or 'none'}")
    inner = Scope(f"the function of {name}()", next(iter(parameters)), scope)
    with inner.activate():
        result = body(Value(Read(inner, None, (), kind)))
        if result is None:
            raise refuse(f"the function of {name}() returns nothing", "return the output of the sub-flow")
        output = inner.freeze(result)
    is_turn = type(result) is Value and isinstance(result.__stepflow__, Record) and result.__stepflow__.kind is None
    return SubFlow(inner, output), Any if is_turn else _get_kind(result)


def _get_kind(value: Any) -> Any:
    """Return the type of a value; Any if it is unknown."""
    if type(value) is not Value:
        return Any if isinstance(value, (list, dict, tuple)) else type(value)
    return getattr(value.__stepflow__, "kind", Any)


def _get_element_kind(items: Any) -> Any:
    """Return the type of the elements of a list; Any if it is unknown.

    Raises:
        AuthoringError: If it is not a list.
    """
    if type(items) is not Value:
        if not isinstance(items, (list, tuple)):
            raise refuse(f"each() takes a list, not {type(items).__name__}")
        return _get_kind(items[0]) if items else Any
    try:
        return fields.find_element(_get_kind(items), 0).kind
    except fields.PartNotFound:
        kind = fields.name_type(_get_kind(items))
        raise refuse(f"{items.__stepflow__.label} is not a list but {kind}", "each() takes a list") from None
