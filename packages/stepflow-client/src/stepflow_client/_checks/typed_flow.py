"""The types of a flow and of its steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..flows.json_types import UNKNOWN, Type
from .expression_types import Scope
from .flow_model import FlowModel, Step


@dataclass
class StepTypes:
    """The types of a step."""

    step: Step
    given: Type
    """The type of its input expression."""
    wanted: Type
    """The input type of the component."""
    returned: Type
    """The output type of the component."""
    output: Type
    """The type that other steps read: that of the flow's own schema of the step, if there is one, otherwise the output
    type of the component, or the default."""
    source: Literal["flow", "component", "unknown"]
    """The source of the output type."""
    is_known: bool = True
    """Whether anything is known about the component."""
    inner: FlowTypes | None = None
    """The types of the flow that the step runs for each element or iteration, or stores."""


@dataclass
class FlowTypes:
    """The types of a flow."""

    model: FlowModel
    scope: Scope
    steps: dict[str, StepTypes] = field(default_factory=dict)
    """The types of the steps by step id, in the order of the file."""
    output: Type = UNKNOWN
    """The type of the output expression."""
    declared_input: Type | None = None
    declared_output: Type | None = None
    given_input: Type = UNKNOWN
    """The type of the input that the enclosing flow passes to it."""
