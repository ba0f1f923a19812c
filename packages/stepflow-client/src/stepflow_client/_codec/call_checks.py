"""Validates the client's arguments and converts them to request data, without any network I/O."""

from __future__ import annotations

import marshal
import os
import re
from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .._data.arguments import argument_error, check_flag, check_integer, check_text
from .._data.flow_declarations import get_variable_declarations
from .._data.json_encoding import DataObject, is_data_object
from .._data.wire import MAX_INPUT_DEPTH, check_json, is_plain, unify_overrides
from ..errors import InvalidArgumentError, UnsupportedByServerError
from ..flows.reading import load_file, parse_json

if TYPE_CHECKING:
    from .._runs.strip_and_restore_flow import RerunOrigin
    from ..flows.json_schema import Validator
    from ..flows.reading import FlowSource
    from ..flows.run_requirements import RunRequirements
    from ..types import FlowVariable


def parse_declared_variables(flow: Mapping[str, Any]) -> dict[str, FlowVariable]:
    """Return the variables that a flow declares in `schemas.properties.variables` (an empty dict if it has none)."""
    declared = get_variable_declarations(flow)
    if not declared:
        return {}
    from ..types import FlowVariable

    return {name: FlowVariable(**fields) for name, fields in declared.items()}


Variables = Mapping[str, Any] | str | PathLike[str] | DataObject
"""A flow's variables: a mapping or object, or the path of a YAML or JSON file that contains one."""


class HasRunId(Protocol):
    """Anything with a run ID, e.g. a handle, run details, a result, an outcome, an event or an error."""

    @property
    def run_id(self) -> str | None:
        """The run ID."""


if TYPE_CHECKING:
    from uuid import UUID

    RunId = str | UUID | HasRunId
    """A run: its ID, or an object with a `run_id`."""
else:
    # Don't import uuid here, because that takes a few milliseconds.
    RunId = str | HasRunId
RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The usual format of a run ID."""


def check_run_id(run_id: RunId) -> str:
    """Return a run ID in the form that servers use.

    Raises:
        InvalidArgumentError: If it isn't a UUID. (Current servers respond to some operations with nonsense in that
            case.)
    """
    if isinstance(run_id, str) and RUN_ID.fullmatch(run_id):
        return run_id
    from uuid import UUID

    if isinstance(run_id, UUID):
        return str(run_id)
    try:
        return str(UUID(run_id if isinstance(run_id, str) else run_id.run_id))
    except (ValueError, AttributeError, TypeError):
        raise argument_error("a run ID", "a UUID", run_id) from None


class HasFlowId(Protocol):
    """Anything with a flow ID, e.g. a stored flow, the response to storing one, or run details."""

    @property
    def flow_id(self) -> str | None:
        """The flow ID."""


FlowId = str | HasFlowId
"""A stored flow: its ID, or an object with a `flow_id`."""


def check_flow_id(flow_id: FlowId) -> str:
    """Return a flow's ID.

    Raises:
        InvalidArgumentError: If it isn't a valid ID.
    """
    return check_path_id(flow_id if isinstance(flow_id, str) else getattr(flow_id, "flow_id", flow_id), "flow_id")


def check_path_id(value: object, what: str) -> str:
    """Validate and return an ID that will be part of a path. (A `..` would lead to a different operation.)

    Raises:
        InvalidArgumentError: If it isn't a valid ID.
    """
    text = check_text(value, what)
    if text in (".", ".."):
        raise InvalidArgumentError(f"{what} cannot be {text!r}")
    return text


def check_header_text(value: object, what: str) -> str:
    """Validate and return a header value.

    Raises:
        InvalidArgumentError: If it's empty or contains anything but printable ASCII.
    """
    text = check_text(value, what)
    if not text.isascii() or not text.isprintable():
        raise InvalidArgumentError(f"{what} is sent in a header and must be printable ASCII text, not {text!r}")
    return text


def check_concurrency(max_concurrency: int | None) -> int | None:
    """Validate and return a concurrency limit. (If it's 0, servers hang or drop the connection.)

    Raises:
        InvalidArgumentError: If it isn't a positive integer.
    """
    return check_limit(max_concurrency, "max_concurrency", least=1)


def check_limit(value: int | None, what: str, *, least: int = 0) -> int | None:
    """Validate and return a limit or offset.

    Raises:
        InvalidArgumentError: If it isn't an integer, or if it's less than `least`.
    """
    return None if value is None else check_integer(value, what, least=least)


def reject_debug_mode(debug: bool) -> None:
    """Reject debug mode, which no released server supports.

    Raises:
        UnsupportedByServerError: If `debug` is true.
        InvalidArgumentError: If it isn't a bool.
    """
    if check_flag(debug, "debug"):
        hint = "leave it out; the steps and events of a run show what it did"
        message = "debug=True: no released Stepflow server has a debug mode for runs"
        raise UnsupportedByServerError(message, hint=hint)


def normalize_run_inputs(value: Any, *, exact_integers: bool = True) -> list[Any]:
    """Return a run's inputs as a list. A value that's already a list is a batch. Any other value is a single input.

    Raises:
        InvalidArgumentError: If a value can't be represented in JSON.
    """
    # Fast path for the usual case: a single input that can be sent as is.
    if not isinstance(value, (list, tuple)):
        if not is_plain(value, MAX_INPUT_DEPTH):
            value = check_json(value, "input", exact_integers=exact_integers, max_depth=MAX_INPUT_DEPTH)
        return [value]
    return list(check_json(value, "input", exact_integers=exact_integers))


class RunArguments(NamedTuple):
    """A run's validated arguments."""

    inputs: list[Any]
    variables: dict[str, Any]
    overrides: dict[str, Any] | None
    max_concurrency: int | None
    text: bytes | None = None
    """The inputs as JSON without the enclosing brackets, if they've already been encoded."""


def parse_run_arguments(
    input: Any, variables: Variables | None, overrides: Any, max_concurrency: int | None, *, exact_integers: bool = True
) -> RunArguments:
    """Validate and return a run's arguments.

    Raises:
        FlowFileError: If a variables file can't be read.
        InvalidArgumentError: If an argument is invalid.
    """
    inputs = normalize_run_inputs(input, exact_integers=exact_integers)
    values = parse_run_variables(variables, exact_integers=exact_integers)
    return RunArguments(inputs, values, unify_overrides(overrides), check_concurrency(max_concurrency))


def reject_multiple_inputs(value: Any) -> None:
    """Reject batches in calls that return a single result.

    Raises:
        InvalidArgumentError: If the input is a list that doesn't have exactly one element.
    """
    if isinstance(value, (list, tuple)) and len(value) != 1:
        hint = "use submit() and get_results(); to pass a list as a single input, write [[...]]"
        message = f"the input is a batch of {len(value)}, but run() returns one result"
        raise InvalidArgumentError(message, hint=hint)


def check_inputs_against_schema(value: Any, validator: Validator) -> list[Any]:
    """Check inputs against the flow's input schema and return them as a list.

    Raises:
        InvalidArgumentError: If an input doesn't match or can't be represented in JSON.
    """
    plain = check_json(value, "the input")
    items = plain if isinstance(plain, list) else [plain]
    validator.require_valid_inputs(items, "use check_input=False to send it anyway")
    return items


def parse_run_variables(variables: Variables | None, *, exact_integers: bool = True) -> dict[str, Any]:
    """Return the values of a flow's variables.

    Raises:
        FlowFileError: If the file can't be read.
        InvalidArgumentError: If they aren't a mapping or a value can't be represented in JSON.
    """
    if variables is None:
        return {}
    values = load_file(variables) if isinstance(variables, (str, PathLike)) else variables
    checked = None
    if isinstance(values, Mapping) or is_data_object(values):
        checked = check_json(values, "variables", exact_integers=exact_integers)
    if not isinstance(checked, dict):
        raise InvalidArgumentError(f"variables must be a mapping from name to value, not {type(values).__name__}")
    return dict(checked)


def add_env_variables(
    given: Mapping[str, Any], declared: Mapping[str, FlowVariable], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Fill in missing variables from the environment.

    A variable is looked up under the name that the flow declares as `env_var`, then as `STEPFLOW_VAR_<NAME>`. In the
    latter, the name is in upper case, with `_` in place of any character that isn't a letter or digit. Values stay
    strings if the schema allows strings. Otherwise, they're parsed as JSON.

    Raises:
        InvalidArgumentError: If a value isn't valid JSON but the schema doesn't allow strings.
    """
    filled = dict(given)
    for name, variable in declared.items():
        if name in filled:
            continue
        general = "STEPFLOW_VAR_" + "".join(char if char.isalnum() else "_" for char in name).upper()
        source = next((key for key in (variable.env_var, general) if key and key in environ), None)
        if source is None:
            continue
        filled[name] = text = environ[source]
        kind = variable.value_schema.get("type")
        kinds = set(kind) if isinstance(kind, list) else {kind}
        if "string" in kinds:
            continue
        try:
            filled[name] = parse_json(text, source)
        except Exception:
            if kinds != {None}:
                # Don't show the value, since it might be a secret.
                type_names = " or ".join(sorted(map(str, kinds)))
                message = f"the environment variable {source} does not contain JSON of type {type_names}"
                raise InvalidArgumentError(message) from None
    return filled


def check_and_complete_arguments(
    arguments: RunArguments, needs: RunRequirements, environ: Mapping[str, str] | None, *, check_values: bool
) -> RunArguments:
    """Check a run's arguments against its flow and fill in missing variables from the environment.

    If `environ` is None, the caller must have passed all required variables.

    Raises:
        InvalidArgumentError: If an override refers to something that the flow doesn't have, a required variable is
            missing, or `check_values` is true and a variable doesn't match its schema.
    """
    needs.check_overrides(arguments.overrides)
    values = arguments.variables if environ is None else add_env_variables(arguments.variables, needs.declared, environ)
    needs.check_variables(values, arguments.overrides, from_env=environ is not None, check_values=check_values)
    return arguments._replace(variables=values)


class RunCall(NamedTuple):
    """Arguments for a call that starts a run. See `StepflowClient.run` for what they mean."""

    flow: FlowSource
    input: Any = None
    overrides: Any = None
    variables: Variables | None = None
    variables_from_env: bool = False
    max_concurrency: int | None = None
    check_input: bool = False
    private_copy: bool = False
    """Whether to store a separate copy of the flow for this run alone."""
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    """The key's scope. Defaults to the client's scope, or else to the flow's content."""
    ready: Callable[[], Any] | None = None
    """Waits until the run can be created. None if the run can be created right away."""
    origin: RerunOrigin | None = None
    """For a rerun, the earlier run and the outputs to keep. The key is then scoped to the earlier run."""
    source: FlowSource | None = None
    """The flow as the caller passed it, if `flow` has already been read from a file. Otherwise None."""

    @property
    def flow_as_passed(self) -> FlowSource:
        """The flow as the caller passed it."""
        return self.flow if self.source is None else self.source

    def check_arguments(self, *, exact_integers: bool = True) -> RunArguments:
        """Validate the arguments and convert them for the run request. See `parse_run_arguments`."""
        values = self.input, self.variables, self.overrides, self.max_concurrency
        return parse_run_arguments(*values, exact_integers=exact_integers)

    def check_and_complete_arguments(self, arguments: RunArguments, needs: RunRequirements) -> RunArguments:
        """Check the arguments against the flow, adding variables from the environment if requested."""
        environ = os.environ if self.variables_from_env else None
        return check_and_complete_arguments(arguments, needs, environ, check_values=self.check_input)


def hash_flow(flow: dict[str, Any]) -> bytes | None:
    """Return a digest that identifies a flow, including its key order, or None if the flow isn't plain data.

    The digest is only compared within this process, so we can use marshal, which is several times faster than JSON for
    plain values.
    """
    content = flow_to_marshal_bytes(flow)
    # Use Python's own keyed hash (twice), because importing hashlib takes several milliseconds.
    return None if content is None else b"%d %d" % (hash(content), hash(content + b"."))


def flow_to_marshal_bytes(flow: Any) -> bytes | None:
    """Serialize a flow so that only equal flows have the same bytes. Return None if the flow isn't plain data."""
    try:
        # Version 2 always serializes equal values in the same way. Later versions' output also depends on object
        # identity.
        return marshal.dumps(flow, 2)
    except ValueError:
        return None


def flow_from_marshal_bytes(content: bytes) -> Any:
    """Return a copy of a flow that `flow_to_marshal_bytes` serialized."""
    return marshal.loads(content)  # noqa: S302 - it was written here


def get_file_stamp(path: object) -> tuple[Any, ...] | None:
    """Return a value that changes whenever the file does, or None if `path` isn't a path or the file doesn't exist."""
    if not isinstance(path, (str, PathLike)):
        return None
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (os.fspath(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def remove_valid_max_retries(flow: dict[str, Any]) -> dict[str, Any]:
    """Change a flow so that current servers can check it.

    POST /flows reads every number as a float and then rejects the resulting `maxRetries: 2.0`. To avoid that, remove
    valid retry counts. Keep invalid counts so that they still get reported.
    """
    steps = []
    for step in flow["steps"] if isinstance(flow.get("steps"), list) else ():
        handler = step.get("onError") if isinstance(step, dict) else None
        retries = handler.get("maxRetries") if isinstance(handler, dict) else None
        if isinstance(handler, dict) and type(retries) is int and 0 <= retries < 2**32:
            step = {**step, "onError": {key: value for key, value in handler.items() if key != "maxRetries"}}
        steps.append(step)
    return {**flow, "steps": steps} if steps else flow


def restore_integers_in_message(message: str) -> str:
    """Write whole numbers in a server's message the way the flow writes them (servers report 2 as `2.0`)."""
    return re.sub(r"floating point `(-?\d+)\.0`", r"number `\1`", message)
