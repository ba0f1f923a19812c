"""Stored flows, their variables, and flow diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from .._base.error_classes import ApiError, InvalidArgumentError
from .._data.json_encoding import StoredFlowId
from .._data.secrets import HIDDEN, hide_flow_secrets, mask_schema
from .model_base import LOCAL, Model, Shown, field, frozen_model
from .statuses import DiagnosticLevel

__all__ = [
    "Diagnostic", "DiagnosticLevel", "FlowExample", "FlowVariable", "FlowVariables", "StoreFlowResponse", "StoredFlow",
    "ValidationResult",
]  # fmt: skip


@frozen_model
class Diagnostic(Model):
    """A problem found in a flow by the server or the offline checks (`stepflow_client.flows.check`)."""

    level: DiagnosticLevel
    kind: str = ""
    """The name of the problem, e.g. `undefinedStepReference`."""
    code: int = 0
    """The numeric code of the problem."""
    message: str = field(metadata={"wire": "formatted"})
    path: str = "$"
    """The location in the flow, as a JSON path (`$` is the whole flow)."""
    data: Any = None
    """The data used to build the message."""
    is_experimental: bool = field(default=False, metadata={"wire": "experimental"})
    """True if the server marks the check as experimental."""
    rule: str | None = None
    """For offline checks, the name of the rule."""
    file: str | None = None
    """The file path, or None if unknown."""
    line: int | None = None
    """The line number in the file, starting at 1."""
    column: int | None = None
    """The column number, starting at 1."""
    excerpt: str | None = None
    """The source line, with the location marked underneath."""
    hint: str | None = None
    """How to fix the problem."""
    flow: str | None = None
    """The flow's name on the command line, or None if the flow was checked from Python."""

    @property
    def location(self) -> str:
        """Same as `path`."""
        return self.path


@frozen_model
class ValidationResult(Model, Shown):
    """A flow's diagnostics, from the server or from the offline checks."""

    valid: bool = None  # type: ignore[assignment]  # set below
    """Same as `is_valid`. Derived from the diagnostics if not passed."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    """All diagnostics, most severe first."""
    is_valid: bool = field(default=None, repr=False, metadata=LOCAL)  # type: ignore[assignment]  # set below
    """True if the flow is accepted, which means that it has no fatal diagnostics."""

    def __post_init__(self) -> None:
        flags = {flag for flag in (self.valid, self.is_valid) if flag is not None}
        if len(flags) > 1:
            raise InvalidArgumentError("is_valid and valid are the same: pass only one of them")
        is_fatal = (diagnostic.level is DiagnosticLevel.FATAL for diagnostic in self.diagnostics)
        is_valid = flags.pop() if flags else not any(is_fatal)
        for name in ("valid", "is_valid"):
            object.__setattr__(self, name, is_valid)

    @property
    def errors(self) -> list[Diagnostic]:
        """The fatal and error diagnostics."""
        return [d for d in self.diagnostics if d.level in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]

    @property
    def warnings(self) -> list[Diagnostic]:
        """All diagnostics less severe than an error."""
        return [d for d in self.diagnostics if d.level not in (DiagnosticLevel.FATAL, DiagnosticLevel.ERROR)]


@frozen_model
class StoreFlowResponse(Model):
    """A stored flow."""

    flow_id: str
    """The flow ID. Servers that share a store use the same ID."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
    """Diagnostics that didn't prevent the server from storing the flow."""

    def __flow__(self) -> StoredFlowId:
        return StoredFlowId(self.flow_id)


@frozen_model
class FlowExample(Model):
    """A flow's example or test case."""

    name: str
    description: str | None = None
    input: Any = None


@frozen_model
class StoredFlow(Model, Shown):
    """A flow as stored by the server, which drops any keys it doesn't know."""

    flow_id: str
    flow: dict[str, Any]
    examples: list[FlowExample] = field(default_factory=list, metadata={"wire": "allExamples"})
    """The flow's examples plus the inputs of its test cases."""

    def __flow__(self) -> dict[str, Any]:
        return self.flow

    def without_secrets(self) -> Self:
        """Return a copy that's safe to show, with the values of secret variables (e.g. defaults) replaced by `***`."""
        return replace(self, flow=hide_flow_secrets(self.flow))

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        return Model._iter_shown_fields(self.without_secrets())


@frozen_model
class FlowVariable(Model):
    """A variable declared by a flow under `schemas.properties.variables`."""

    is_required: bool = False
    """True if runs must pass a value: the variable is listed as required and has no default."""
    default: Any = None
    env_var: str | None = None
    """The environment variable that the flow's author suggests for the value."""
    is_secret: bool = False
    description: str | None = None
    value_schema: dict[str, Any] = field(default_factory=dict)
    """The variable's JSON Schema, as written in the flow."""

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        # The schema alone may not show that the variable is secret, since that can also come from a schema it
        # references.
        schema = self.value_schema | ({"is_secret": True} if self.is_secret and self.value_schema else {})
        shown = replace(self, value_schema=mask_schema(schema))
        if self.default is not None:
            default = HIDDEN if self.is_secret else shown.value_schema.get("default", self.default)
            shown = replace(shown, default=default)
        return Model._iter_shown_fields(shown)


@frozen_model
class FlowVariables(Model):
    """A flow's variables, by name."""

    flow_id: str
    variables: dict[str, FlowVariable]


class InvalidFlowError(ApiError):
    """The server rejected the flow. `status_code` is 400 even if the flow was only being checked.

    Attributes:
        diagnostics: The server's diagnostics, fatal ones first.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic] = (), **more: Any) -> None:
        """Store the message and the diagnostics."""
        super().__init__(message, **{"status_code": 400, **more})
        self.diagnostics = list(diagnostics)
