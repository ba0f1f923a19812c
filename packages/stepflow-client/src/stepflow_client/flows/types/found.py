"""What is found of a flow: the types of its steps, and its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..model import FlowModel, Step
from .expressions import Scope
from .model import UNKNOWN, Type

__all__ = ["FlowTypes", "StepTypes"]


@dataclass
class StepTypes:
    """The types of one step."""

    step: Step
    component: str | None
    """The component's path; None if it is no text."""
    given: Type
    """What its input expression gives."""
    wanted: Type
    """What the component takes."""
    returned: Type
    """What the component returns."""
    output: Type
    """What others read: the flow's own schema of the step, if it has one, else what the component returns, or the
    default."""
    source: Literal["flow", "component", "unknown"]
    """Who says what the output is."""
    is_known: bool = True
    """Whether anything is known of the component."""
    inner: FlowTypes | None = None
    """The flow that it runs for each element or turn."""


@dataclass
class FlowTypes:
    """The types of a flow."""

    model: FlowModel
    scope: Scope
    steps: dict[str, StepTypes] = field(default_factory=dict)
    """By the step's id, in the order of the file."""
    output: Type = UNKNOWN
    """What the output expression gives."""
    declared_input: Type | None = None
    declared_output: Type | None = None
    given_input: Type = UNKNOWN
    """What the flow around it gives to it."""
