"""Stored flows, their variables, and the diagnostics of flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from .._base.basic_errors import ApiError, InvalidArgumentError
from .._data.json_encoding import StoredFlowId
from .._data.secrets import HIDDEN, hide_flow_secrets, hide_schema
from .._data.values import restore_order
from .models import LOCAL, Model, Shown, field, record
from .statuses import DiagnosticLevel

__all__ = [
    "Diagnostic", "DiagnosticLevel", "FlowExample", "FlowVariable", "FlowVariables", "StoreFlowResponse", "StoredFlow",
    "ValidationResult",
]  # fmt: skip


@record
class Diagnostic(Model):
    """One diagnostic of a flow, from the server or from the offline checks (`stepflow_client.flows.check`)."""

    level: DiagnosticLevel
    kind: str = ""
    """The name of the fault, for example `undefinedStepReference`."""
    code: int = 0
    """The number of the fault."""
    message: str = field(metadata={"wire": "formatted"})
    path: str = "$"
    """The place in the flow, as a JSON path; `$` is the flow as a whole."""
    data: Any = None
    """The data that the message was made from."""
    is_experimental: bool = field(default=False, metadata={"wire": "experimental"})
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
    flow: str | None = None
    """The flow as it was named in the command; None in Python."""

    @property
    def location(self) -> str:
        """The same as `path`."""
        return self.path


@record
class ValidationResult(Model, Shown):
    """The diagnostics of a flow, from the server or from the offline checks."""

    valid: bool = None  # type: ignore[assignment]  # set below
    """The same as `is_valid`; if not given, it follows from the diagnostics."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    """All diagnostics, the most severe first."""
    is_valid: bool = field(default=None, repr=False, metadata=LOCAL)  # type: ignore[assignment]  # set below
    """True if the flow is accepted: no diagnostic is fatal."""

    def __post_init__(self) -> None:
        flags = {flag for flag in (self.valid, self.is_valid) if flag is not None}
        if len(flags) > 1:
            raise InvalidArgumentError("is_valid and valid are the same: give one of them")
        is_fatal = (diagnostic.level is DiagnosticLevel.FATAL for diagnostic in self.diagnostics)
        is_valid = flags.pop() if flags else not any(is_fatal)
        for name in ("valid", "is_valid"):
            object.__setattr__(self, name, is_valid)

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are fatal or errors."""
        return [d for d in self.diagnostics if d.level in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics that are neither fatal nor errors."""
        return [d for d in self.diagnostics if d.level not in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]


@record
class StoreFlowResponse(Model):
    """A stored flow."""

    flow_id: str
    """The id of the flow on every server that shares the store."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    """Diagnostics that did not prevent the server from storing the flow."""

    def __flow__(self) -> StoredFlowId:
        return StoredFlowId(self.flow_id)


@record
class FlowExample(Model):
    """An example or a test case in a flow."""

    name: str
    description: str | None = None
    input: Any = None


@record
class StoredFlow(Model, Shown):
    """A flow as the server stores it, without keys that the server does not know."""

    flow_id: str
    flow: dict[str, Any]
    examples: list[FlowExample] = field(default_factory=list, metadata={"wire": "allExamples"})
    """The flow's examples and the inputs of its test cases."""

    def __flow__(self) -> dict[str, Any]:
        # Servers may return the keys in another order each time; idempotency keys and caches need one order.
        return dict(restore_order(self.flow))

    def without_secrets(self) -> Self:
        """Return a copy that is safe to show: values of secret variables, such as defaults, are replaced by `***`."""
        return replace(self, flow=hide_flow_secrets(self.flow))

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        for name, value in Model._iter_shown_fields(self):
            yield name, self.without_secrets().flow if name == "flow" else value


@record
class FlowVariable(Model):
    """A variable that a flow declares under `schemas.properties.variables`."""

    is_required: bool = False
    """True if a run requires a value: the variable is listed as required and has no default."""
    default: Any = None
    env_var: str | None = None
    """The environment variable that the flow's author names for it."""
    is_secret: bool = False
    description: str | None = None
    value_schema: dict[str, Any] = field(default_factory=dict)
    """The variable's JSON Schema, as written in the flow."""

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        # It may be secret because of a schema that it refers to.
        schema = self.value_schema | ({"is_secret": True} if self.is_secret and self.value_schema else {})
        hidden = hide_schema(schema)
        for name, value in Model._iter_shown_fields(self):
            if name == "default" and value is not None:
                value = HIDDEN if self.is_secret else hidden.get("default", value)
            elif name == "value_schema":
                value = hidden
            yield name, value


@record
class FlowVariables(Model):
    """The variables of a flow, by name."""

    flow_id: str
    variables: dict[str, FlowVariable]


class InvalidFlowError(ApiError):
    """The server refuses the flow. `status_code` is 400, also if the server has only checked the flow.

    Attributes:
        diagnostics: The server's diagnostics, fatal ones first.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic] = (), **more: Any) -> None:
        """Store the message and the diagnostics."""
        super().__init__(message, **{"status_code": 400, **more})
        self.diagnostics = list(diagnostics)
