"""The types of a flow as JSON Schemas: the input, the component's input and the output of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._data.arguments import check_flag, check_instance, check_text
from .._editing.schema_edits import add_schemas
from ..flows.components import Catalogue, Components, parse_components
from ..flows.findings import TYPE_RULES, Finding
from ..flows.json_types import UNKNOWN, is_unknown, to_schema
from ..flows.reading import FlowSource, flow_in
from ..flows.source import FlowText, Node
from ..types.models import Record
from .checker import check_source, make_result
from .type_comparison import type_text
from .type_inference import infer_flow_types, infer_input_from_uses

if TYPE_CHECKING:
    from ..types import ValidationResult

_RULES = TYPE_RULES | {"unknown-input", "unknown-output-path", "variable-path"}


@dataclass(frozen=True)
class InferredStep(Record):
    """The types of one step, as JSON Schemas; `{}` if a type is unknown."""

    id: str
    component: str | None
    input: dict[str, Any]
    """The type of the step's input expression."""
    takes: dict[str, Any]
    """The input type that the step's component requires."""
    output: dict[str, Any]
    """The type of the step's output."""
    source: str
    """The source of the output type: `flow` for the flow's own schema of the step, `component`, or `unknown`."""
    line: int = 0
    """The line of the step's id; 0 if the flow is not from a file."""
    summary: dict[str, str] = field(default_factory=dict)
    """`input`, `takes` and `output` as one readable line each: `{name: string}`."""


@dataclass(frozen=True)
class InferredFlow(Record):
    """The types of a flow, as JSON Schemas; `{}` if a type is unknown."""

    input: dict[str, Any]
    """The flow's own input schema; without one, the type that its steps require where they read the input."""
    output: dict[str, Any]
    """The type of the output expression."""
    steps: list[InferredStep]
    missing: dict[str, Any] = field(default_factory=dict)
    """The known schemas that the flow does not declare: `input`, `output`, `steps`."""
    summary: dict[str, str] = field(default_factory=dict)
    """`input` and `output` as one readable line each."""
    _findings: Sequence[Finding] = field(default=(), repr=False)

    @property
    def result(self) -> ValidationResult:
        """The findings in the form that `check` returns."""
        return make_result(self._findings)

    def annotated(self, content: bytes, source: str) -> bytes:
        """Return the content of the flow's file with the missing schemas added; the rest is unchanged.

        Args:
            content: The content of the file.
            source: The name of the file.

        Raises:
            FlowFileError: If the schemas cannot be added without other changes.
            InvalidArgumentError: If an argument has the wrong type.
        """
        return add_schemas(check_instance(content, "content", bytes), self.missing, check_text(source, "source"))


def infer(flow: FlowSource, *, components: Any = None, strict: bool = False) -> InferredFlow:
    """Infer the types of a flow, and find type errors, without a server.

    Example:
        ```python
        from stepflow_client.flows import infer

        inferred = infer("examples/hello.yaml")
        print(inferred.output["type"])  # object
        ```

    Args:
        flow: The path of a YAML or JSON file, or the flow itself, whose findings then have no line.
        components: The components that the flow may use, as `list_components` returns them or as JSON objects; None if
            only the builtin ones are known.
        strict: Whether outputs of unknown type are errors instead of warnings. Default False.

    Raises:
        FlowFileError: If the file cannot be read, or is neither YAML nor JSON.
        InvalidArgumentError: If `flow` is neither a path nor a flow.
    """
    check_flag(strict, "strict")
    return infer_from_text(FlowText.of(flow), parse_components(components), strict=strict)


def infer_from_text(flow: FlowText, components: Components | None = None, *, strict: bool = False) -> InferredFlow:
    """Infer the types of the flow in a text; see `infer`.

    Raises:
        FlowFileError: If the text is neither YAML nor JSON, or not a flow.
    """
    flow_in(flow.root.value, flow.name)
    findings = check_source(flow, components, type_check=True, strict=strict)
    types = infer_flow_types(flow.root, UNKNOWN, Catalogue(components, stubs=flow.stubs))
    input_type = infer_input_from_uses(types) if types.declared_input is None else types.declared_input
    steps = []
    for step in types.steps.values():
        parts = {"input": step.input, "takes": step.expected_input, "output": step.output}
        steps.append(
            InferredStep(
                step.step.id,
                step.step.component,
                **{name: to_schema(type) for name, type in parts.items()},
                source=step.source,
                line=step.step.node.items["id"].line,
                summary={name: type_text(type) for name, type in parts.items()},
            )
        )
    missing: dict[str, Any] = {}
    for name, type in (("input", input_type), ("output", types.output)):
        declared = types.model.schema(name)
        if (declared is None or declared.value is None) and not is_unknown(type) and type.members:
            missing[name] = to_schema(type)
    declared_steps = types.model.schema("steps", "properties") or Node(None)
    undeclared = {
        name: to_schema(step.output)
        for name, step in types.steps.items()
        if name not in declared_steps.items and not is_unknown(step.output) and step.output.members
    }
    return InferredFlow(
        input=to_schema(input_type),
        output=to_schema(types.output),
        steps=steps,
        missing=missing | ({"steps": {"properties": undeclared}} if undeclared else {}),
        summary={"input": type_text(input_type), "output": type_text(types.output)},
        _findings=[finding for finding in findings if finding.rule in _RULES or finding.level == "fatal"],
    )
