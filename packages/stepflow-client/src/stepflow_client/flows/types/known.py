"""The types of the steps of a flow that is edited: inferred again only if something they depend on changes. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from operator import is_
from typing import NamedTuple

from ..components import Catalogue, Components
from ..known_steps import facts_of
from ..model import FlowModel, Step
from .expressions import Scope
from .model import Type
from .typed import StepTypes


class _Frame(NamedTuple):
    """What the types of all steps of a flow depend on."""

    components: Components | None
    schemas: str
    given: str

    def is_same(self, other: _Frame) -> bool:
        return self.components is other.components and self[1:] == other[1:]


class TypesBefore(NamedTuple):
    """The types of a step in an earlier text, and what they depended on."""

    frame: _Frame
    read: list[Type | None]
    """The types of the outputs that it reads."""
    types: StepTypes


class KnownTypes:
    """The types of the steps of a flow in its earlier texts.

    Args:
        model: The flow.
        scope: The types that are known so far.
        catalogue: The components.
        given: The type of the input that is passed to the flow.
    """

    def __init__(self, model: FlowModel, scope: Scope, catalogue: Catalogue, given: Type) -> None:
        self._scope = scope
        kept = [facts for each in model.steps if (facts := facts_of(each.node)) is not None]
        schemas = json.dumps(model.root.value.get("schemas"), default=str) if kept else ""
        self._frame = _Frame(catalogue.given, schemas, repr(given))
        last = next((each.types.frame for each in kept if each.types is not None), None)
        if last is not None and last.is_same(self._frame):
            self._frame = last

    def get(self, step: Step) -> StepTypes | None:
        """Return the types of a step; None if they have to be inferred."""
        facts = facts_of(step.node)
        before: TypesBefore | None = facts.types if facts is not None else None
        if before is None or before.frame is not self._frame:
            return None
        read = self._read(step)
        is_same = len(read) == len(before.read) and all(map(is_, read, before.read))
        return replace(before.types, step=step) if is_same else None

    def keep(self, types: StepTypes) -> StepTypes:
        """Keep the types of a step for the next text, and return them."""
        facts = facts_of(types.step.node)
        # The types of a flow inside have places in this text.
        if facts is None or types.inner is not None:
            return types
        before: TypesBefore | None = facts.types
        if before is not None and repr(before.types.output) == repr(types.output):
            # Then nothing changes for the steps that read it.
            types.output = before.types.output
        facts.types, facts.has_right_types = TypesBefore(self._frame, self._read(types.step), types), False
        return types

    def _read(self, step: Step) -> list[Type | None]:
        return [self._scope.steps.get(each.step) for each in step.reads if each.step is not None]
