"""A flow's types as JSON Schemas: the types of its input and output, and those of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._data.arguments import check_flag, check_instance, check_text
from .._editing.schema_additions import add_schemas
from ..flows.components import ComponentCatalog, Components, convert_to_components
from ..flows.findings import TYPE_RULES, Finding
from ..flows.reading import FlowSource, require_flow
from ..flows.syntax_tree import FlowText, Node
from ..flows.type_system import UNKNOWN, is_unknown, type_to_schema
from ..types.model_base import Record
from . import checker, type_comparison, type_inference

if TYPE_CHECKING:
    from ..types import ValidationResult

_REPORTED_RULES = TYPE_RULES | {"unknown-input", "unknown-output-path", "variable-path"}


@dataclass(frozen=True)
class InferredStep(Record):
    """A step's types as JSON Schemas, using `{}` for unknown types."""

    id: str
    component: str | None
    input: dict[str, Any]
    """The type of the step's input expression."""
    takes: dict[str, Any]
    """The input type that the step's component requires."""
    output: dict[str, Any]
    """The type of the step's output."""
    source: str
    """Where the output type comes from: `flow` (the flow's own schema for the step), `component` or `unknown`."""
    line: int = 0
    """The line of the step's ID, or 0 if the flow wasn't read from a file."""
    summary: dict[str, str] = field(default_factory=dict)
    """`input`, `takes` and `output` in a readable one-line form, e.g. `{name: string}`."""


@dataclass(frozen=True)
class InferredFlow(Record):
    """A flow's types as JSON Schemas, using `{}` for unknown types."""

    input: dict[str, Any]
    """The flow's own input schema or, if it doesn't have one, the type of input that its steps require."""
    output: dict[str, Any]
    """The type of the output expression."""
    steps: list[InferredStep]
    missing: dict[str, Any] = field(default_factory=dict)
    """Inferred schemas that the flow doesn't declare: `input`, `output`, `steps`."""
    summary: dict[str, str] = field(default_factory=dict)
    """`input` and `output` in a readable one-line form."""
    _findings: Sequence[Finding] = field(default=(), repr=False)

    @property
    def result(self) -> ValidationResult:
        """The findings, in the form returned by `check`."""
        return checker.make_validation_result(self._findings)

    def annotated(self, content: bytes, source: str) -> bytes:
        """Return the flow's file with any missing schemas added and everything else unchanged.

        Args:
            content: The file's content.
            source: The file's name.

        Raises:
            FlowFileError: If the schemas can't be added without changing anything else.
            InvalidArgumentError: If an argument has the wrong type.
        """
        return add_schemas(check_instance(content, "content", bytes), self.missing, check_text(source, "source"))


def infer(flow: FlowSource, *, components: Any = None, strict: bool = False) -> InferredFlow:
    """Infer a flow's types and find type errors, without a server.

    Example:
        ```python
        from stepflow_client.flows import infer

        inferred = infer("examples/hello.yaml")
        print(inferred.output["type"])  # object
        ```

    Args:
        flow: The path to a YAML or JSON file, or the flow itself (in which case findings have no line).
        components: The components that the flow can use, as returned by `list_components` or as JSON objects. By
            default, just the builtin components.
        strict: Whether outputs of unknown type are reported as errors rather than warnings. Defaults to False.

    Raises:
        FlowFileError: If the file can't be read or is neither YAML nor JSON.
        InvalidArgumentError: If `flow` is neither a path nor a flow.
    """
    check_flag(strict, "strict")
    return infer_from_flow_text(FlowText.from_source(flow), convert_to_components(components), strict=strict)


def infer_from_flow_text(flow: FlowText, components: Components | None = None, *, strict: bool = False) -> InferredFlow:
    """Infer types for a flow's text. See `infer`.

    Raises:
        FlowFileError: If the text is neither YAML nor JSON, or isn't a flow.
    """
    require_flow(flow.root.value, flow.name)
    findings = checker.check_source(flow, components, type_check=True, strict=strict)
    catalog = ComponentCatalog(components, fallback_schemas=flow.component_schemas_from_python)
    types = type_inference.infer_flow_types(flow.root, UNKNOWN, catalog)
    input_type = type_inference.infer_input_from_uses(types) if types.declared_input is None else types.declared_input
    steps = []
    for step in types.steps.values():
        parts = {"input": step.input, "takes": step.expected_input, "output": step.output}
        schemas = {name: type_to_schema(type) for name, type in parts.items()}
        summary = {name: type_comparison.format_type(type) for name, type in parts.items()}
        id, component, line = step.step.id, step.step.component, step.step.node.items["id"].line
        steps.append(InferredStep(id, component, **schemas, source=step.source, line=line, summary=summary))
    missing: dict[str, Any] = {}
    for name, type in (("input", input_type), ("output", types.output)):
        declared = types.model.find_flow_schema(name)
        if (declared is None or declared.value is None) and not is_unknown(type) and type.members:
            missing[name] = type_to_schema(type)
    declared_steps = types.model.find_flow_schema("steps", "properties") or Node(None)
    undeclared: dict[str, Any] = {}
    for name, step in types.steps.items():
        if name not in declared_steps.items and not is_unknown(step.output) and step.output.members:
            undeclared[name] = type_to_schema(step.output)
    return InferredFlow(
        input=type_to_schema(input_type),
        output=type_to_schema(types.output),
        steps=steps,
        missing=missing | ({"steps": {"properties": undeclared}} if undeclared else {}),
        summary={"input": type_comparison.format_type(input_type), "output": type_comparison.format_type(types.output)},
        _findings=[finding for finding in findings if finding.rule in _REPORTED_RULES or finding.level == "fatal"],
    )
