"""Stored flows, their variables, and the diagnostics of flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, model_validator

from .._data.objects import StoredFlowId
from .._data.secrets import HIDDEN, hidden_flow, hidden_schema
from .._data.values import ordered
from .models import Model, from_number
from .shown import Shown
from .statuses import _OpenEnum

__all__ = [
    "Diagnostic", "DiagnosticLevel", "FlowExample", "FlowVariable", "FlowVariables", "StoreFlowResponse", "StoredFlow",
    "ValidationResult",
]  # fmt: skip


class DiagnosticLevel(_OpenEnum):
    """The severity of a diagnostic.

    Fatal: the flow is refused. Error: it will likely fail. Warning: it may behave unexpectedly.
    """

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


_LEVEL_NUMBERS = dict(enumerate(DiagnosticLevel, start=1))

_Level = Annotated[DiagnosticLevel, from_number(_LEVEL_NUMBERS)]


class Diagnostic(Model):
    """One diagnostic of a flow, from the server or from the offline checks (`stepflow_client.flows.check`)."""

    level: _Level
    kind: str = ""
    """The name of the fault, for example `undefinedStepReference`."""
    code: int = 0
    """The number of the fault."""
    message: str = Field(validation_alias=AliasChoices("message", "formatted"))
    path: str = Field(default="$", validation_alias=AliasChoices("path", "location"))
    """The place in the flow, as a JSON path; `$` is the flow as a whole."""
    data: Any = None
    """The data that the message was made from."""
    is_experimental: bool = Field(default=False, validation_alias=AliasChoices("is_experimental", "experimental"))
    """True if the server marks the check as experimental."""
    rule: str | None = None
    """The name of the rule, for offline checks."""
    file: str | None = None
    """The path of the file; None if unknown."""
    line: int | None = None
    """The line in the file, from 1."""
    column: int | None = None
    """The column in the line, from 1."""
    excerpt: str | None = None
    """The text of the line, with a mark below the place."""
    hint: str | None = None
    """How to fix the fault."""

    @property
    def location(self) -> str:
        """The same as `path`."""
        return self.path


class ValidationResult(Model, Shown):
    """The diagnostics of a flow, from the server or from the offline checks."""

    valid: bool = True
    """The same as `is_valid`; if not given, it follows from the diagnostics."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """All diagnostics, the most severe first."""

    @model_validator(mode="after")
    def _decide(self) -> Self:
        if "valid" not in self.model_fields_set:
            is_fatal = (each.level is DiagnosticLevel.FATAL for each in self.diagnostics)
            object.__setattr__(self, "valid", not any(is_fatal))
        return self

    @property
    def is_valid(self) -> bool:
        """True if the flow is accepted: no diagnostic is fatal."""
        return self.valid

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are fatal or errors."""
        return [d for d in self.diagnostics if d.level in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics that are neither fatal nor errors."""
        return [d for d in self.diagnostics if d.level not in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]


class StoreFlowResponse(Model):
    """A stored flow."""

    flow_id: str
    """The id of the flow on every server that shares the store."""
    diagnostics: list[Diagnostic] = Field(default_factory=list)
    """Diagnostics that did not prevent the server from storing the flow."""

    def __flow__(self) -> StoredFlowId:
        return StoredFlowId(self.flow_id)


class FlowExample(Model):
    """An example or a test case in a flow."""

    name: str
    description: str | None = None
    input: Any = None


class StoredFlow(Model, Shown):
    """A flow as the server stores it, without keys that the server does not know."""

    flow_id: str
    flow: dict[str, Any]
    examples: list[FlowExample] = Field(default=[], validation_alias=AliasChoices("examples", "allExamples"))
    """The flow's examples and the inputs of its test cases."""

    def __flow__(self) -> dict[str, Any]:
        # Servers may return the keys in another order each time; idempotency keys and caches need one order.
        return dict(ordered(self.flow))

    def without_secrets(self) -> Self:
        """Return a copy that is safe to show: values of secret variables, such as defaults, are replaced by `***`."""
        return self.model_copy(update={"flow": hidden_flow(self.flow)})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.without_secrets().flow if name == "flow" else value


class FlowVariable(Model):
    """A variable that a flow declares under `schemas.properties.variables`."""

    is_required: bool = False
    """True if a run requires a value: the variable is listed as required and has no default."""
    default: Any = None
    env_var: str | None = None
    """The environment variable that the flow's author names for it."""
    is_secret: bool = False
    description: str | None = None
    value_schema: dict[str, Any] = Field(default_factory=dict)
    """The variable's JSON Schema, as written in the flow."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name == "default" and self.is_secret and value is not None:
                value = HIDDEN
            elif name == "value_schema":
                value = hidden_schema(self.value_schema)
            yield name, value


class FlowVariables(Model):
    """The variables of a flow, by name."""

    flow_id: str
    variables: dict[str, FlowVariable]
