"""Reads of inputs and variables: whether the flow declares them, and whether they have a value in each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN
from .._base.text import near, short_json
from .._data.flow_declarations import fields_of, unset_value
from ..flows.expressions import Path, portable_path, write_path
from ..flows.findings import Findings
from ..flows.source import Node
from .flow_model import FlowModel, Read

if TYPE_CHECKING:
    from ..flows import json_types as types
    from ..flows import schema_types
else:
    # Most flows are checked without types.
    types = lazy_module("stepflow_client.flows.json_types")
    schema_types = lazy_module("stepflow_client.flows.schema_types")


def check_declared(model: FlowModel, found: Findings, *, is_subflow: bool) -> None:
    """Find reads of inputs and variables that fail, or may fail, according to the flow's own schemas."""
    schema = model.schema("input")
    if schema is not None:
        type = schema_types.type_of_schema(schema.value, model.defs, is_source=True)
        _check_input_defaults(schema, found)
        for read in model.reads:
            if read.kind == "input":
                _check_input(read, type, found)
    variables = _Variables(model, is_subflow=is_subflow)
    for read in model.reads:
        if read.kind == "variable":
            variables.check(read, found)
    variables.check_unused(found)


def level_of(read: Read, level: str) -> str:
    """Return the level of the fault of a path: in a condition it only makes the condition false."""
    return "warning" if read.reference.in_condition else level


def _is_tolerated(read: Read) -> bool:
    """Return whether a missing value does no harm: in a condition, or in a branch that has the same condition."""
    guards = [each.condition for each in read.reference.branches if each.kind == "then"]
    return read.reference.in_condition or read.reference.expression in guards


def _check_input(read: Read, type: types.Type, found: Findings) -> None:
    parts = portable_path(read.reference.path) or ()
    wrong = types.behind(type, parts)
    if wrong.problem:
        message = f"{wrong.problem} (the flow's input schema)"
        found.add("unknown-input", level_of(read, wrong.level), read.target, message, wrong.hint)
    optional = _optional_part(type, parts)
    if optional is None or _is_tolerated(read):
        return
    shown = write_path(optional)
    guarded = f"{{$if: {{$input: {shown}}}, then: {{$input: {shown}}}, else: ...}}"
    is_alternative = any(each.kind == "coalesce" for each in read.reference.branches)
    why = ": $coalesce goes on only behind null" if is_alternative else ""
    found.add("optional-input", "warning", read.target, f"without {shown} in the input, this fails{why}",
              f"add {str(optional[-1])!r} to 'required', or write {guarded}: a condition that fails is "
              "false")  # fmt: skip


def _optional_part(type: types.Type, parts: Path) -> Path | None:
    """Return the path of the first part that the input may lack; None if the schema requires all of them."""
    for index, part in enumerate(parts):
        fields = [each.fields.get(str(part)) for each in types.behind(type, parts[:index]).type.members
                  if isinstance(each, types.ObjectOf)]  # fmt: skip
        if any(each is not None and not each.is_required for each in fields):
            return parts[: index + 1]
    return None


def _check_input_defaults(schema: Node, found: Findings) -> None:
    """Find defaults of fields of the input, which nothing applies."""
    properties = schema.get("properties")
    for name, node in properties.items.items() if properties is not None else ():
        if "default" in node.items:
            found.add("dead-default", "warning", node, f"this default is never used: nothing adds {name!r} to an input "
                      "without it", "pass the field with each input, or read it with $if and write the default into "
                      "'else'", key="default")  # fmt: skip
        _check_input_defaults(node, found)


class _Variables:
    """The variables of a flow, or of a flow inside a step: its runs get none of the variables around it."""

    def __init__(self, model: FlowModel, *, is_subflow: bool) -> None:
        self.model, self.is_subflow = model, is_subflow
        self.schema = model.schema("variables")
        self.properties = self.schema.get("properties") if self.schema is not None else None
        value = self.schema.value if self.schema is not None else None
        self.declared, self.required = fields_of(value)
        self.others = schema_types.type_of_schema(value, model.defs, is_source=True) if self.has_schema else None

    @property
    def has_schema(self) -> bool:
        """Whether the flow declares its variables."""
        return self.schema is not None and isinstance(self.schema.value, Mapping)

    def check(self, read: Read, found: Findings) -> None:
        """Check a read of a variable."""
        parts = portable_path(read.reference.path)
        if not parts:
            return
        name = str(parts[0])
        if name in self.declared:
            self._check_path(read, name, parts[1:], found)
        elif self.has_schema and not self.is_subflow and self._is_undeclared(name):
            # Servers pass variables on that a flow does not declare; this client refuses them.
            level = "warning" if "default" in read.reference.expression else "error"
            found.add("undeclared-variable", level, read.target, f"variable {name!r} is not declared",
                      near(name, self.declared, "declared are"))  # fmt: skip
            return
        self._check_unset(read, name, is_whole=len(parts) == 1, found=found)

    def _check_path(self, read: Read, name: str, parts: Path, found: Findings) -> None:
        type = schema_types.type_of_schema(self.declared[name], self.model.defs, is_source=True)
        wrong = types.behind(type, parts)
        if wrong.problem:
            found.add("variable-path", level_of(read, wrong.level), read.target, wrong.problem, wrong.hint)

    def _check_unset(self, read: Read, name: str, *, is_whole: bool, found: Findings) -> None:
        """Find a read that fails in runs that do not set the variable, and a default that no run uses."""
        is_required = name in self.required
        value = unset_value(self.declared.get(name), is_required=is_required)
        if value is not NOT_GIVEN:
            if "default" in read.reference.expression and is_whole:
                is_explicit = "default" in self.declared[name]
                used = "the default in its schema" if is_explicit else short_json(value)
                found.add("dead-default", "warning", read.node, "this default is never used: in runs that do not set "
                          f"{name!r}, it is {used}", "write the default into the schema of the variable",
                          key="default")  # fmt: skip
            return
        if "default" in read.reference.expression or _is_tolerated(read):
            return
        if self.is_subflow:
            level = "error" if found.in_unchecked and read.reference.is_certain else "warning"
            declared = f"{{properties: {{variables: {{properties: {{{name}: {{default: {{$variable: {name}}}}}}}}}}}}}"
            found.add("unset-variable", level, read.target, "this fails: the flow inside a step gets no variables of "
                      f"the run, and {name!r} has no default here", f"add schemas: {declared} to this flow, and put "
                      "$literal around its steps and its output instead of around the flow")  # fmt: skip
        elif self.has_schema and not is_required:
            found.add("unset-variable", "warning", read.target, f"this fails in runs that do not set {name!r}: servers "
                      "have a value for it only by a plain 'type'", "add a default to its schema or beside $variable, "
                      "or add it to 'required'")  # fmt: skip

    def _is_undeclared(self, name: str) -> bool:
        """Return whether the schema has no place for a name, in the schemas that it refers to either."""
        assert self.schema is not None
        assert self.others is not None
        schema: Mapping[str, Any] = self.schema.value
        if schema.get("patternProperties") or isinstance(schema.get("additionalProperties"), Mapping):
            return False
        fields = [member for member in self.others.members if isinstance(member, types.ObjectOf)]
        if not fields:
            return schema.keys().isdisjoint(("$ref", "allOf", "anyOf", "oneOf"))
        return not any(name in each.fields or (each.is_open and each.fields) for each in fields)

    def check_unused(self, found: Findings) -> None:
        """Find variables that nothing reads: reads inside a step have findings of their own."""
        reads = [read.reference for flow in self.model.flows for read in flow.reads if read.kind == "variable"]
        if self.properties is None or any(each.path in ("", "$") for each in reads):
            return
        used = {each.variable for each in reads}
        for name in self.declared:
            if name not in used:
                found.add("unused-variable", "warning", self.properties, f"variable {name!r} is never read",
                          "remove it", key=name)  # fmt: skip
