"""Exposes flows as tools for models: their names and schemas, argument validation and results."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

from .._base.suggestions import suggest_or_list
from .._base.text_formatting import cut, format_json_line, visible, visible_lines
from .._data.flow_declarations import get_declared_schema, get_server_defs
from .._data.secrets import Secrets, find_secret_values_in_flow, find_variable_secrets
from .._data.wire import check_json
from ..errors import InvalidArgumentError, StepflowClientError
from ..flows import schema_inlining
from ..flows.graph import FlowSteps
from ..flows.json_schema import Mismatch, Validator, find_mismatches, get_defs, short_repr
from ..flows.run_requirements import RunRequirements, find_required_input_paths, find_requirements, find_unknown_fields
from ..flows.schema_inlining import WRAPPER
from ..types import FlowResult
from ..types.server import ToolResult
from .call_checks import parse_declared_variables

_MAX_NAME_LENGTH = 64
# Some APIs reject longer descriptions.
_MAX_DESCRIPTION_LENGTH = 1_024
# Maximum number of steps to list in place of a missing flow description.
_MAX_NAMED_STEPS = 8
_MAX_FAULTS = 20
_MAX_VALUE_LENGTH = 80


WAIT_RUN_TOOL = "wait_run"
WAIT_RUN_DESCRIPTION = (
    "Wait for a run to end and get its result. If the response says that it is still running, call this again."
)
RUN_ID_FIELD = {"type": "string", "description": "The run's ID, from an earlier response."}
WAIT_RUN_FIELDS = {
    "run_id": RUN_ID_FIELD,
    "seconds": {"type": "number", "exclusiveMinimum": 0, "description": "How long to wait."},
}


@dataclass(frozen=True)
class FlowToolSpec:
    """A flow exposed as a tool: the name and schemas that models see, plus argument validation."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    """The self-contained schema of the arguments object."""
    output_schema: Mapping[str, Any]
    """The self-contained schema of `ToolResult.structured`."""
    is_wrapped: bool
    """Whether the arguments wrap the flow's input in an `input` field, because the input might not be an object."""
    flow: Mapping[str, Any]
    needs: RunRequirements

    def parse_input(self, arguments: Any) -> Any:
        """Extract the flow's input from a call's arguments.

        Args:
            arguments: A JSON object (decoded or as a string). None means an empty object.

        Raises:
            InvalidArgumentError: If the arguments don't match the schema. The message lists each invalid field, along
                with the expected and actual values.
        """
        if isinstance(arguments, (str, bytes)):
            try:
                arguments = json.loads(arguments or "{}")
            except (ValueError, RecursionError) as error:
                raise InvalidArgumentError(f"the arguments are not JSON: {error}", hint="pass a JSON object") from None
        value = check_json({} if arguments is None else arguments, "the arguments")
        if not isinstance(value, dict):
            raise InvalidArgumentError(f"the arguments must be an object, not {type(value).__name__}")
        self._check_arguments(value)
        return value[WRAPPER] if self.is_wrapped else value

    def check_input(self, value: Any) -> None:
        """Check a flow input that isn't wrapped.

        Raises:
            InvalidArgumentError: If the input doesn't match the schema. The message is like the one from `parse_input`.
        """
        self._check_arguments({WRAPPER: value} if self.is_wrapped else value)

    def _check_arguments(self, arguments: Any) -> None:
        """Check arguments against both the published schema and the flow's own. Reject fields the flow ignores."""
        faults = list(self._validator.find_mismatches(arguments))
        if not self.is_wrapped or WRAPPER in arguments:
            value = arguments[WRAPPER] if self.is_wrapped else arguments
            # The published schema is less strict, because it leaves out keywords that model APIs reject.
            own = () if self.needs.input_check is None else self.needs.input_check.find_mismatches(value)
            below = (WRAPPER,) if self.is_wrapped else ()
            own_faults = (*find_unknown_fields(self.flow, value), *own)
            faults += [fault._replace(parts=(*below, *fault.parts)) for fault in own_faults]
        # Report each fault only once. A field that isn't in the schema usually isn't read by the flow either.
        unique: dict[tuple[str, str], Mismatch] = {}
        for fault in faults:
            unique.setdefault((fault.path, "" if fault.key else fault.message), fault)
        faults = sorted(unique.values(), key=lambda fault: not fault.key)
        lines = list(dict.fromkeys(map(_format_argument_fault, faults)))
        if lines:
            lines[_MAX_FAULTS:] = ["- and more"] if len(lines) > _MAX_FAULTS else []
            raise InvalidArgumentError("\n".join([f"the arguments of {self.name} do not match its schema:", *lines]))

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self.input_schema, get_defs(self.input_schema))

    def drop_unknown_variables(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Drop variables that the flow doesn't have, unless its schema allows any variable."""
        names = self.needs.names
        if names is None:
            return dict(variables) if get_declared_schema(self.flow, "variables") is not None else {}
        return {name: value for name, value in variables.items() if name in names}

    def get_secrets(self, variables: Mapping[str, Any]) -> tuple[Secrets, ...]:
        """Return the secrets to hide from models."""
        variable_secrets = find_variable_secrets(self.drop_unknown_variables(variables), self.needs.declared)
        return tuple(secrets for secrets in (variable_secrets, find_secret_values_in_flow(self.flow)) if secrets)

    def is_valid_output(self, output: Any) -> bool:
        """Return whether an output matches the tool's published schema."""
        schema = get_declared_schema(self.flow, "output")
        return not find_mismatches(output, schema, get_server_defs(self.flow, "output"))


def _format_argument_fault(fault: Mismatch) -> str:
    """Format a fault as one line with its location, the expected and actual values, and a hint."""
    where = fault.path.removeprefix("$").removeprefix(".") or "the arguments"
    value = short_repr(fault.value)
    has_value = fault.message.startswith(value) or fault.message.endswith((f"not {value}", "is missing"))
    is_of_value = fault.key is None and not has_value
    got = f" (got {cut(json.dumps(fault.value, ensure_ascii=False), _MAX_VALUE_LENGTH)})" if is_of_value else ""
    return visible(f"- {where}: {fault.message}{got}{f'; {fault.hint}' if fault.hint else ''}")


def make_tool_without_flow(
    name: str, description: str, fields: Mapping[str, Any], required: Sequence[str]
) -> FlowToolSpec:
    """Make a tool that takes the given fields as arguments but doesn't run a flow."""
    schema = {"type": "object", "properties": fields, "required": [*required], "additionalProperties": False}
    return make_tool_spec({"description": description, "schemas": {"properties": {"input": schema}}}, name)


def make_tool_spec(flow: Mapping[str, Any], name: str) -> FlowToolSpec:
    """Make the tool that runs a flow.

    Raises:
        InvalidArgumentError: If the flow can't be represented in JSON, or if a field name contains control, invisible
            or text-reversing characters (they could mislead a model or a person).
    """
    flow = check_json(flow, "the flow")
    declared = get_declared_schema(flow, "input")
    if not isinstance(declared, (Mapping, bool)) or declared in ({}, True):
        declared = _infer_input_schema(flow)
    schema = schema_inlining.inline_schema(declared, get_server_defs(flow, "input"))
    if "type" not in schema and "properties" in schema:
        schema = {"type": "object", **schema}
    is_wrapped = not schema_inlining.is_plain_object(schema)
    if not is_wrapped:
        # Servers don't apply the defaults in an input schema, so the run would fail if the field were missing.
        schema = schema_inlining.require_fields_at_paths(schema, find_required_input_paths(flow))
    output = get_declared_schema(flow, "output")
    defs = get_server_defs(flow, "output")
    output = {} if output is None else schema_inlining.inline_schema(output, defs, checkable_only=True)
    fields = schema_inlining.iter_field_names_and_keywords([schema, output])
    if (hidden := next((field for field in fields if visible(field) != field), None)) is not None:
        problem = f"its field name {visible(hidden)!r} contains control or invisible characters"
        hint = "rename the field in the flow's schemas"
        raise InvalidArgumentError(f"the flow cannot be a tool: {problem}", hint=hint)
    description, needs = _format_tool_description(flow, name), find_requirements(flow, parse_declared_variables(flow))
    schema = schema_inlining.wrap_schema(schema) if is_wrapped else schema
    return FlowToolSpec(name, description, schema, _build_tool_result_schema(output), is_wrapped, flow, needs)


def _infer_input_schema(flow: Mapping[str, Any]) -> Any:
    """Infer the input schema from how the steps use the input. If no step reads it, allow any object."""
    if "$input" not in json.dumps(flow):
        return {"type": "object"}
    from .._checks.inferred_flow import infer

    if get_declared_schema(flow, "input") is not None:
        # Drop the declared schema: it allows anything, so `infer` would return it unchanged.
        schemas = flow["schemas"]
        flow = {**flow, "schemas": {**schemas, "properties": {**schemas["properties"], "input": None}}}
    try:
        schema = infer(flow).input
    except (StepflowClientError, RecursionError):
        schema = {}
    # Allow additional fields, because the schema is only inferred and fields that no step reads are harmless.
    return {key: value for key, value in schema.items() if key != "additionalProperties"}


def _format_tool_description(flow: Mapping[str, Any], name: str) -> str:
    for key in ("description", "title"):
        text = flow.get(key)
        if isinstance(text, str) and text.strip():
            return cut(visible_lines(text.strip()), _MAX_DESCRIPTION_LENGTH)
    steps = [f"{key} ({step.value.get('component')})" for key, step in FlowSteps(flow).by_id.items()]
    more = f" and {len(steps) - _MAX_NAMED_STEPS} more" if len(steps) > _MAX_NAMED_STEPS else ""
    what = f", which has the steps {', '.join(steps[:_MAX_NAMED_STEPS])}{more}" if steps else ""
    return cut(visible(f"Run the flow {name}{what}."), _MAX_DESCRIPTION_LENGTH)


def _build_tool_result_schema(output: Mapping[str, Any]) -> dict[str, Any]:
    """Build the schema of a tool call's result, which can be an output, an error or a run that hasn't finished.

    Args:
        output: The output's self-contained schema. `{}` allows any output.
    """
    inner = {key: value for key, value in output.items() if key != "$defs"}
    text = {"type": "string"}
    error_fields = {"message": text, "step": text, "hint": text}
    error = {"type": "object", "properties": error_fields, "required": ["message"]}
    return {
        "type": "object",
        "properties": {
            "run_id": {**text, "description": "The run's ID. Whatever happens to this call, the run exists."},
            "status": {**text, "description": "completed, failed, cancelled, running, or another run status."},
            "output": inner or {"description": "The flow's output."},
            "unexpected_output": {"description": "The output, if it does not match the flow's output schema."},
            "output_resource": {**text, "description": "Where to read an output that is too large for a response."},
            "error": error,
            "next": {**text, "description": "What to call next."},
        },
        "required": ["status"],
        **({"$defs": output["$defs"]} if "$defs" in output else {}),
    }


def make_tool_name(flow: Mapping[str, Any], source: str | None = None) -> str:
    """Make a valid tool name that's as close to the flow's name as possible.

    Tool names have 1 to 64 characters: ASCII letters, digits, `_` and `-`.

    Args:
        flow: The flow.
        source: The path of the flow's file. The file name is used if the flow has no name.
    """
    name = flow.get("name")
    text = name if isinstance(name, str) and name.strip() else PurePath(source).stem if source else ""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_-")[:_MAX_NAME_LENGTH].rstrip("_-")
    return plain or "flow"


def make_unique_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number appended if it is already taken."""
    if name not in taken:
        return name
    numbered = (f"{name[: _MAX_NAME_LENGTH - 1 - len(str(number))]}_{number}" for number in range(2, len(taken) + 3))
    return next(candidate for candidate in numbered if candidate not in taken)


def format_unknown_tool(name: object, names: Collection[str]) -> str:
    """Return the error message for a call to an unknown tool."""
    return f"unknown tool {visible(cut(str(name), _MAX_NAME_LENGTH))!r}; {suggest_or_list(str(name), names, 'tools')}"


def _format_run_result(result: FlowResult, output: str) -> str:
    """Describe a finished run to a model.

    Args:
        result: The run's result.
        output: The output as JSON, or a placeholder to show instead.
    """
    run = f"Run {result.run_id}"
    if result.is_success:
        return f"{run} completed. Its output:\n{output}"
    if result.is_cancelled:
        return f"{run} is marked as cancelled. Its steps may still be executing, and it may still complete."
    if result.error is None:
        return f"{run} is {result.status.value}."
    step = f" at step {result.error.step_id!r}" if result.error.step_id else ""
    hint = f"\nHint: {visible(result.error.hint)}" if result.error.hint else ""
    return f"{run} failed{visible(step)}: {visible(result.error.message)}{hint}"


def make_tool_result(result: FlowResult, spec: FlowToolSpec | None, secrets: Iterable[Secrets] = ()) -> ToolResult:
    """Convert a run's result to a tool result.

    Args:
        result: The run's result.
        spec: The tool that exposes the run's flow, or None if no tool does.
        secrets: Values to hide.
    """
    output, error = result.output, None
    if result.error is not None:
        parts = {"message": result.error.message, "step": result.error.step_id, "hint": result.error.hint}
        error = {key: visible(value) for key, value in parts.items() if value is not None}
    for secret in secrets:
        output, error = secret.hide_in(output), secret.hide_in(error)
    text = _format_run_result(result, format_json_line(output))
    for secret in secrets:
        text = secret.hide_in_text(text)
    structured: dict[str, Any] = {"run_id": result.run_id, "status": result.status.value}
    if result.is_success:
        is_expected = spec is None or spec.is_valid_output(output)
        structured["output" if is_expected else "unexpected_output"] = output
    if error is not None:
        structured["error"] = error
    return ToolResult(text, structured, result.run_id, not result.is_success)


def make_unfinished_result(run_id: str, next_step: str, status: str = "running") -> ToolResult:
    """Return the tool result for a run that hasn't ended.

    Args:
        run_id: The run ID.
        next_step: A sentence that says what to do next.
        status: The run's status.
    """
    text = f"Run {run_id} has not ended; it continues on the server. {next_step}"
    return ToolResult(text, {"run_id": run_id, "status": status, "next": next_step}, run_id)


def make_error_result(error: StepflowClientError, secrets: Iterable[Secrets] = ()) -> ToolResult:
    """Return the tool result for a call that didn't start a run, or for a run whose state couldn't be read."""
    text = visible_lines(error.message) + (f"\nHint: {visible(error.hint)}" if error.hint else "")
    if error.run_id is not None and error.run_id not in text.partition("\n")[0]:
        text = f"The state of run {error.run_id} is unknown: {text}"
    for secret in secrets:
        text = secret.hide_in_text(text)
    return ToolResult(text, None, error.run_id, True)
