"""Functions that add steps to a flow: components, plus `each` and `iterate` for sub-flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, Never, ParamSpec, TypeVar, get_origin

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN
from ._lazy_modules import arguments, fields, inspect, json_encoding
from ._placeholders import Read, Record, Value, authoring_error, without_profiler
from ._scopes import Scope, Step, SubFlow, check_decorated_is_function, encode_data, get_current_scope
from .on_error import OnError

if TYPE_CHECKING:
    from . import _flow_building as outputs
    from ._flow_building import Iterated, MapOutput
else:
    outputs = lazy_module("stepflow_client.authoring._flow_building")

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

STEP_OPTIONS = ("step", "on_error", "must_execute", "metadata")
"""Arguments that configure the step instead of being part of its input."""


class _ComponentSignature(NamedTuple):
    """The parsed signature of a component's function."""

    signature: Any
    hints: dict[str, Any]
    """The types of the arguments by name, plus the output's type under `return`."""
    names: dict[str, str]
    """Maps argument names to the JSON names of the input fields."""
    input: str | None
    """The argument that stands for the whole input, or None if the arguments together make up the input object."""


class Component:
    """A server component, as a function that adds a step when called."""

    def __init__(self, path: str, function: Callable[..., Any]) -> None:
        """Use `component` instead."""
        self.path, self.function = path, function
        # Don't use `update_wrapper`: the function's own attributes would hide `schemas`.
        self.__name__, self.__qualname__ = function.__name__, function.__qualname__
        self.__doc__, self.__module__, self.__wrapped__ = function.__doc__, function.__module__, function

    def __repr__(self) -> str:
        """Return a representation with the component's path."""
        return f"<component {self.path}>"

    def __reduce__(self) -> str:
        # Pickle components by name, like functions.
        return self.function.__qualname__

    @without_profiler
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Add a step to the flow being written and return its output as a value.

        Raises:
            AuthoringError: If no flow is being written, or if an argument is invalid.
        """
        scope = get_current_scope(f"{self.function.__name__}()")
        signature, hints, names, input_name = self._parsed_signature
        try:
            bound: dict[str, Any] = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            hint = f"its arguments are {', '.join(names.values()) or 'none'}"
            raise authoring_error(f"{self.function.__name__}(): {error}", hint) from None
        options = {name: bound.pop(name) for name in STEP_OPTIONS if name in bound and name not in names}
        if input_name is not None:
            input = scope.encode_value(bound[input_name]) if input_name in bound else NOT_GIVEN
        else:
            content: dict[str, Any] = {}
            for name, value in bound.items():
                parameter = signature.parameters[name]
                if parameter.kind is parameter.VAR_KEYWORD:
                    content |= {key: scope.encode_value(part) for key, part in value.items()}
                elif type(value) is Value or value is not None or parameter.default is not None:
                    content[names[name]] = scope.encode_value(value)
            input = content if names else NOT_GIVEN
        scope.components[self.path] = self
        return add_step(scope, self.path, input, self.path.rpartition("/")[2], hints.get("return", Any), **options)

    @cached_property
    def schemas(self) -> tuple[Any, Any]:
        """Input and output schemas, using `{}` for types without a schema."""
        signature, hints, names, input_name = self._parsed_signature
        output = _make_schema(hints.get("return", Any))
        if input_name is not None:
            return _make_schema(hints.get(input_name, Any)), output
        parameters = signature.parameters
        named = {name: key for name, key in names.items() if parameters[name].kind is not inspect.Parameter.VAR_KEYWORD}
        properties = {key: _make_schema(hints.get(name, Any)) for name, key in named.items()}
        required = [key for name, key in named.items() if parameters[name].default is inspect.Parameter.empty]
        is_open = len(named) < len(names)
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": is_open}
        return schema, output

    @cached_property
    def _parsed_signature(self) -> _ComponentSignature:
        # Don't inspect the function until it's used, because stub modules can contain a lot of functions.
        signature = inspect.signature(self.function)
        hints = fields.get_hints(self.function)
        names, input_name = {}, None
        for name, parameter in signature.parameters.items():
            if name in STEP_OPTIONS and get_origin(hints.get(name)) is not Annotated:
                continue
            names[name] = json_encoding.get_json_name(hints.get(name), name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                input_name = name
        return _ComponentSignature(signature, hints, names, input_name)


def _make_schema(kind: Any) -> dict[str, Any]:
    """Return a self-contained schema for a type, or an empty schema if the type has none."""
    from ._schemas import make_schema

    return {} if fields.allows_any_value(kind) else make_schema(kind)


def component(path: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Declare a component with a function that describes its input and output. The function's body is never executed.

    The function's arguments are the input fields. A field that defaults to None is omitted if it is None. If a field's
    name isn't a valid Python name, set it with `Annotated[..., Name("vat-rate")]`. A single positional-only argument
    stands for the whole input. The arguments `step`, `on_error`, `must_execute` and `metadata` configure the step.

    To generate such functions for all components on a server, run `stepflow components stubs`.

    Example:
        ```python
        @component("/shop/price")
        def price(*, sku: str, qty: int | None = None, step: str | None = None) -> Price:
            raise NotImplementedError
        ```

    Args:
        path: The component's path in flows, e.g. `/shop/price`.

    Raises:
        InvalidArgumentError: If the path doesn't start with `/`, or the decorated object is not a function.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise arguments.argument_error("a component path", "a string that begins with /", path)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        check_decorated_is_function(function, "@component")
        return Component(path, function)

    return decorate


def add_step(
    scope: Scope,
    path: str,
    input: Any,
    name: str,
    output: Any,
    *,
    step: str | None = None,
    on_error: OnError[Any] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Add a step to a flow and return its output as a value.

    Args:
        scope: The flow.
        path: The component's path.
        input: The step's input, or NOT_GIVEN if it has none.
        name: The step ID to use if the output isn't assigned to a name.
        output: The output type.
        step: An explicit step ID.
        on_error: What to do if the step fails.
        must_execute: Whether to run the step even if nothing reads its output.
        metadata: Arbitrary metadata about the step.

    Raises:
        AuthoringError: If an option is invalid, or the step ID is already in use.
    """
    if step is not None:
        if not isinstance(step, str) or not step.strip():
            raise authoring_error(f"a step ID must be a string, not {arguments.short_repr(step)}")
        if step in scope.explicit_ids:
            raise authoring_error(f"two steps have the ID {step!r}", "step IDs must be unique within a flow")
        scope.explicit_ids.add(step)
    new_step = Step(scope, path, input, step, name)
    scope.steps.append(new_step)
    if on_error is not None:
        if not isinstance(on_error, OnError):
            message = f"on_error must come from a function like on_error.retry(), not {arguments.short_repr(on_error)}"
            raise authoring_error(message, "on_error.retry(3)")
        new_step.options["onError"] = on_error.to_dict()
    if must_execute is not False:
        if must_execute is not True:
            message = f"must_execute must be True or False, not {arguments.short_repr(must_execute)}"
            raise authoring_error(message, "it cannot depend on a value of the flow")
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
    """Run a sub-flow for each element of a list, using `/builtin/map`.

    Example:
        ```python
        prices = each(given.others, lambda other: shop.price(sku=other.sku).eur)
        first = prices.results[0].result
        ```

    Args:
        items: The list, either a flow value or a Python list.
        body: A function that accepts one element, or a flow. Its calls become the sub-flow's steps, and its return
            value becomes the sub-flow's output. It may read values of the outer flow.
        step: The step ID. Defaults to the name that the output is assigned to.
        max_concurrency: Maximum number of elements to process at once. Servers validate this but currently ignore it.
        on_error: What to do if the step fails. Note that failed elements don't fail the step.
        must_execute: Whether to run the step even if nothing reads its output.
        metadata: Arbitrary metadata about the step.

    Returns:
        The step's output, with one outcome per element (in order) in `results`.

    Raises:
        AuthoringError: If the body does something a flow can't do.
    """
    scope = get_current_scope("each()")
    flow, output = _make_sub_flow(scope, "each", body, _get_element_type(items))
    input = {"items": scope.encode_value(items), "workflow": flow}
    if max_concurrency is not None:
        input["max_concurrency"] = scope.encode_value(max_concurrency)
    map_output: MapOutput[R] = add_step(
        scope, "/builtin/map", input, "each", outputs.MapOutput[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return map_output


class Turn(Generic[R_co, T_co]):
    """Return type of the function passed to `iterate`: `done(...)` or `again(...)`. Only exists for type checkers."""


def done(value: R) -> Turn[R, Never]:
    """End `iterate` with a result."""
    return _make_turn_outcome("result", value)


def again(value: T) -> Turn[Never, T]:
    """Continue `iterate` with the input for the next turn."""
    return _make_turn_outcome("next", value)


def _make_turn_outcome(key: str, value: Any) -> Turn[Any, Any]:
    fields = {key: get_current_scope("done() and again()").encode_value(value)}
    return Value(Record(None, fields))  # type: ignore[return-value]


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
    """Run a sub-flow repeatedly until it is done, using `/builtin/iterate`.

    Example:
        ```python
        def refine(draft: str) -> Turn[str, str]:
            review = editor.review(text=draft)
            return when(review.is_good, done(draft), again(review.text))

        text = iterate(given.draft, refine).result
        ```

    Args:
        initial: The input for the first turn.
        body: A function that accepts a turn's input and returns `done(result)`, `again(next_input)`, or a choice
            between them. It may read values of the outer flow.
        step: The step ID. Defaults to the name that the output is assigned to.
        max_iterations: Maximum number of turns. Defaults to the server's default of 1,000. Once it's reached, `result`
            is the last input and `terminated` is true.
        on_error: What to do if a turn fails.
        must_execute: Whether to run the step even if nothing reads its output.
        metadata: Arbitrary metadata about the step.

    Raises:
        AuthoringError: If the body does something a flow can't do.
    """
    scope = get_current_scope("iterate()")
    flow, output = _make_sub_flow(scope, "iterate", body, _get_value_type(initial))
    input = {"flow": flow, "initial_input": scope.encode_value(initial)}
    if max_iterations is not None:
        input["max_iterations"] = scope.encode_value(max_iterations)
    iterated: Iterated[R] = add_step(
        scope, "/builtin/iterate", input, "iterate", outputs.Iterated[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return iterated


def _make_sub_flow(scope: Scope, name: str, body: Callable[[Any], Any], kind: Any) -> tuple[SubFlow, Any]:
    """Build the sub-flow for a function and return it along with its output type."""
    if not callable(body):
        raise authoring_error(f"{name}() expects a function with one argument, not {arguments.short_repr(body)}")
    try:
        parameters = inspect.signature(body).parameters
    except ValueError:
        message = f"{name}() expects a function with a known signature, not {arguments.short_repr(body)}"
        raise authoring_error(message, "use a lambda") from None
    positional = [parameter for parameter in parameters.values() if parameter.kind < parameter.VAR_POSITIONAL]
    required = [parameter.name for parameter in positional if parameter.default is parameter.empty]
    if not parameters or len(required) > 1:
        listed = ", ".join(required) or "none"
        raise authoring_error(f"{name}() expects a function with one argument, not with {listed}")
    inner = Scope(f"the function of {name}()", next(iter(parameters)), scope)
    with inner.activate():
        result = body(Value(Read(inner, None, (), kind)))
        if result is None:
            raise authoring_error(f"the function of {name}() returns nothing", "return the output of the sub-flow")
        output = inner.encode_value(result)
    is_turn = type(result) is Value and isinstance(result.__stepflow__, Record) and result.__stepflow__.kind is None
    return SubFlow(inner, output), Any if is_turn else _get_value_type(result)


def _get_value_type(value: Any) -> Any:
    """Return a value's type, or Any if unknown."""
    if type(value) is not Value:
        return Any if isinstance(value, (list, dict, tuple)) else type(value)
    return getattr(value.__stepflow__, "kind", Any)


def _get_element_type(items: Any) -> Any:
    """Return the element type of a list, or Any if unknown.

    Raises:
        AuthoringError: If it isn't a list.
    """
    if type(items) is not Value:
        if not isinstance(items, (list, tuple)):
            raise authoring_error(f"each() expects a list, not {type(items).__name__}")
        return _get_value_type(items[0]) if items else Any
    try:
        return fields.find_element(_get_value_type(items), 0).kind
    except fields.PartNotFound:
        kind = fields.get_type_name(_get_value_type(items))
        raise authoring_error(f"{items.__stepflow__.label} is not a list but {kind}", "each() expects a list") from None
