"""Sub-flows: functions that run for each element of a list, or repeatedly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

from .._base.lazy import lazy_module
from ._components import add_step
from ._definitions import SubFlow
from ._lazy import arguments, fields, inspect
from ._scopes import Scope, get_current_scope
from ._values import Given, Read, Record, Value, refuse
from .on_error import OnError

if TYPE_CHECKING:
    from . import _building as outputs
    from ._building import Iterated, MapOutput
else:
    outputs = lazy_module("stepflow_client.authoring._building")

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


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
    kind = _get_element_kind(items)
    flow, output = _make_sub_flow(scope, "each", body, kind)
    input = {"items": scope.frozen(items), "workflow": flow}
    if max_concurrency is not None:
        input["max_concurrency"] = scope.frozen(max_concurrency)
    made: MapOutput[R] = add_step(
        scope, "/builtin/map", Given(input), "each", outputs.MapOutput[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return made


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
    return Value(Record(None, {key: get_current_scope("done() and again()").frozen(value)}))


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
    kind = _get_kind(initial)
    flow, output = _make_sub_flow(scope, "iterate", body, kind)
    input = {"flow": flow, "initial_input": scope.frozen(initial)}
    if max_iterations is not None:
        input["max_iterations"] = scope.frozen(max_iterations)
    made: Iterated[R] = add_step(
        scope, "/builtin/iterate", Given(input), "iterate", outputs.Iterated[output],  # type: ignore[valid-type]
        step=step, on_error=on_error, must_execute=must_execute, metadata=metadata,
    )  # fmt: skip
    return made


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
    with inner.entered():
        result = body(Value(Read(inner, None, (), kind)))
        if result is None:
            raise refuse(f"the function of {name}() returns nothing", "return the output of the sub-flow")
        output = inner.frozen(result)
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
    except fields.NoPart:
        kind = fields.name_type(_get_kind(items))
        raise refuse(f"{items.__stepflow__.label} is not a list but {kind}", "each() takes a list") from None
