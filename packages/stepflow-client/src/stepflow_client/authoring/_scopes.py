"""Collects the steps of a flow, and of its sub-flows, while its function is called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ._lazy import arguments, expressions, json_encoding
from ._objects import encode_object, encode_record
from ._places import Place, find_call_place
from ._values import (
    EXPRESSIONS,
    MARK,
    Coalesce,
    Condition,
    Expression,
    Given,
    Literal,
    Read,
    Record,
    Value,
    depth_error,
    refuse,
)

_KEYWORD_HINT = "write literal(...) around data, and use values of the flow for expressions"

_PLAIN = frozenset((str, int, float, bool, type(None), list, dict, tuple))


class Step:
    """A step: what is called, with what, and where."""

    __slots__ = ("component", "given_id", "input", "name", "options", "place", "scope", "step_id")

    def __init__(self, scope: Scope, component: str, input: Given | None, given_id: str | None, name: str) -> None:
        """Store the parts; `name` is that of its component."""
        self.scope, self.component, self.input, self.given_id = scope, component, input, given_id
        self.place: Place = find_call_place()
        self.name = name
        self.options: dict[str, Any] = {}
        self.step_id = ""
        """The id in the flow; set once all steps are known."""

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.step_id or self.given_id or self.place.name or self.name


class Scope:
    """The steps of one flow, or of one sub-flow.

    Args:
        name: The name of the flow.
        input_name: The name of its input in messages.
        outer: The flow that it is a sub-flow of.
    """

    def __init__(self, name: str, input_name: str, outer: Scope | None = None) -> None:
        self.name, self.input_name, self.outer = name, input_name, outer
        self.steps: list[Step] = []
        self.given_ids: set[str] = set()
        self.captured: dict[str, Read] = {}
        """The values of the outer flow that a sub-flow reads, by the names of its variables for them."""
        self.components: dict[str, Any] = {} if outer is None else outer.components
        """The functions of the components that are called, by their paths."""

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Add steps to this flow within the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def add(self, component: str, input: Given | None, given_id: str | None, name: str) -> Step:
        """Add a step.

        Raises:
            AuthoringError: If its id is taken, or none.
        """
        if given_id is not None:
            if not isinstance(given_id, str) or not given_id.strip():
                raise refuse(f"a step has a text as its id, not {arguments.shown(given_id)}")
            if given_id in self.given_ids:
                raise refuse(f"there are two steps with the id {given_id!r}", "step ids are unique within a flow")
            self.given_ids.add(given_id)
        step = Step(self, component, input, given_id, name)
        self.steps.append(step)
        return step

    def frozen(self, value: Any) -> Any:
        """Return a copy of a value in which only plain data and expressions are left.

        Raises:
            AuthoringError: If it has values of another flow, or what JSON cannot represent.
        """
        try:
            return self._frozen(value)
        except RecursionError:
            raise depth_error("a value") from None

    def _frozen(self, value: Any) -> Any:
        if type(value) is Value:
            return self._own(value.__stepflow__)
        if isinstance(value, EXPRESSIONS):
            return self._own(value)
        if type(value) not in _PLAIN and json_encoding.is_scalar(value):
            # Members of an enum may be texts and numbers, too.
            return self._frozen(json_encoding.encode_scalar(value))
        if isinstance(value, str):
            if MARK in value:
                raise refuse(f"the text {arguments.shown(value)} was made from a value of the flow",
                             "flows put no texts together; pass the parts to a component that does")  # fmt: skip
            return value
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise refuse(f"{value} is not a number that JSON can hold")
            return value
        if isinstance(value, (list, tuple)):
            return [self._frozen(each) for each in value]
        if not isinstance(value, Mapping):
            parts = encode_object(value)
            return parts if isinstance(parts, Literal) else self._frozen(parts)
        if (word := expressions.get_keyword(value)) is not None:
            raise refuse(f"an object with the key {word!r} is an expression of flow files", _KEYWORD_HINT)
        for key in value:
            if not isinstance(key, str):
                raise refuse(f"{arguments.shown(key)} cannot be a key: the keys of JSON are text")
        return {self._frozen(key): self._frozen(part) for key, part in value.items()}

    def _own(self, expression: Expression) -> Any:
        """Return an expression in which values of outer flows are read from variables.

        Raises:
            AuthoringError: If it belongs to a flow that does not contain this one.
        """
        match expression:
            case Read():
                own = expression if expression.scope is self else self._capture(expression)
                return own._replace(default=Given(self._frozen(own.default.expression))) if own.default else own
            case Condition(condition, then, otherwise):
                other = otherwise and Given(self._frozen(otherwise.expression))
                return Condition(self._frozen(condition), self._frozen(then), other)
            case Coalesce(alternatives):
                return Coalesce(tuple(map(self._frozen, alternatives)))
            case Record(kind, fields):
                return self._frozen(encode_record(kind, fields))
        return expression

    def _capture(self, read: Read) -> Read:
        outer = self.outer
        while outer is not None and outer is not read.scope:
            outer = outer.outer
        if outer is None:
            within = read.scope.name
            raise refuse(f"{read.label} is a value of {within}, which is not around this place",
                         "the values of a sub-flow are known there only; return what is needed")  # fmt: skip
        assert self.outer is not None
        value = self.outer.frozen(Value(read))
        start = read.scope.input_name if read.source is None else getattr(read.source, "label", read.source)
        parts = [str(each) for each in (start, *read.path)]
        base = name = "_".join(filter(str.isidentifier, parts)) or "value"
        number = 1
        while self.captured.get(name, value) != value:
            number += 1
            name = f"{base}_{number}"
        self.captured[name] = value
        return Read(self, name, (), read.kind)


_current: ContextVar[Scope | None] = ContextVar("stepflow_flow", default=None)


def get_current_scope(what: str) -> Scope:
    """Return the flow that is being written.

    Args:
        what: What belongs into it, for the message.

    Raises:
        AuthoringError: If there is none.
    """
    scope = _current.get()
    if scope is None:
        raise refuse(f"{what} makes a step, and no flow is being written", "call it in a function with @flow")
    return scope
