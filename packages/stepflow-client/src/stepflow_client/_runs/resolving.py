"""Resolves the references in the input of a step, as the server did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..flows.expressions import get_keyword
from ..flows.interpreter import BROKEN, Failure, NotKnownError, RecordedEvaluation
from ..types.shown import Record

if TYPE_CHECKING:
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
