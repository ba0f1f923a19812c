"""Determines what a run of a flow needs, and checks the run's overrides and variables before any request is sent.

Servers check very little of this: they ignore unknown step keys, and a missing variable only shows up when a step that
reads it fails. A run that would succeed on a server is never rejected here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._base.suggestions import suggest_nearest
from .._data.flow_declarations import get_declared_schema, get_fields, get_server_defs, get_unset_value, is_secret
from .._data.secrets import find_variable_secrets
from .._data.wire import OutputDecoder, make_output_decoder
from ..errors import InvalidArgumentError
from .expressions import Reference, find_references, parse_unambiguous_path
from .graph import FlowSteps, find_reachable_names

if TYPE_CHECKING:
    from ..types import FlowVariable
    from .json_schema import Mismatch, Validator

STEP_KEYS = ("id", "component", "input", "onError", "mustExecute", "metadata")
"""The keys of a step. Servers silently ignore any others."""
# Keys that can make a schema allow names it doesn't list.
_OPEN_SCHEMA_KEYWORDS = ("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "additionalProperties")


class RunRequirements(NamedTuple):
    """The input, variables and steps that runs of a flow need."""

    declared: Mapping[str, FlowVariable]
    """The variables declared by the flow."""
    required: tuple[str, ...]
    """Variables that have no fallback, so reading them fails unless the run sets them."""
    steps: FlowSteps
    names: frozenset[str] | None
    """The variables that the flow declares or reads, or None if a run may also set others."""
    components: frozenset[str]
    """Components used by the steps that run, including steps of inner flows."""
    input_check: Validator | None
    """Checks a run's inputs, or None if the flow accepts any input."""
    variable_checks: Mapping[str, Validator]
    """Validators for variable values, by variable name. Variables that accept any value aren't included."""
    decoder: OutputDecoder
    """Decodes responses about runs without variables."""

    def make_hiding_decoder(self, variables: Mapping[str, Any]) -> OutputDecoder:
        """Return a decoder for responses about a run with these variables. It hides their secret values."""
        if not variables:
            return self.decoder
        return make_output_decoder(self.decoder.like, find_variable_secrets(variables, self.declared))

    def check_overrides(self, overrides: Mapping[str, Any] | None) -> None:
        """Reject overrides of unknown steps, as servers do, and overrides with unknown keys, which servers ignore.

        Raises:
            InvalidArgumentError: If an override is rejected. The hint suggests the closest name.
        """
        for step, change in (overrides or {}).items():
            if step not in self.steps.by_id:
                message = f"the overrides refer to unknown step {step!r}"
                raise InvalidArgumentError(message, hint=_suggest_name(step, self.steps.by_id, "it has", "steps"))
            value = change["value"]
            for key in value if isinstance(value, dict) else ():
                if key not in STEP_KEYS:
                    hint = _suggest_name(key, STEP_KEYS, "a step has", "keys")
                    raise InvalidArgumentError(f"the override of step {step!r} has the unknown key {key!r}", hint=hint)

    def check_variables(
        self, given: Mapping[str, Any], overrides: Any, *, from_env: bool = False, check_values: bool = True
    ) -> None:
        """Check that the flow has every variable that was passed, and that no variable it needs is missing.

        The flow needs a variable if it requires the variable and is certain to read it. Null counts as a value.

        Args:
            given: The run's variables.
            overrides: The run's overrides, by step ID. An overridden step may read different variables.
            from_env: Whether missing variables have already been looked up in the environment.
            check_values: Whether to check values against the variables' schemas, which servers don't do.

        Raises:
            InvalidArgumentError: If a required variable is missing, a variable is neither declared nor read by the
                flow, or a value doesn't match its schema. The hint suggests the closest name.
        """
        absent = [name for name in self.required if name not in given]
        if absent:
            reads = find_required_reads(self.steps, overridden=overrides or {}, with_must_execute=True)
            # Only report variables that some expression reads without a default.
            names = {read.variable.strip() for read in reads if read.variable and "default" not in read.expression}
            absent = [name for name in absent if name in names]
        if absent:
            name, listed = absent[0], ", ".join(map(repr, absent))
            known = {*self.required, *self.declared}
            hint = suggest_nearest(name, [candidate for candidate in given if candidate not in known])
            source = self.declared[name].env_var if name in self.declared else None
            if hint is None and from_env and source:
                hint = f"{source} is not set"
            elif hint is None:
                hint = f"add {name} to the variables" + (f", or read {source} from the environment" if source else "")
            what = f"variable {listed}, which is" if len(absent) == 1 else f"variables {listed}, which are"
            raise InvalidArgumentError(f"the flow requires the {what} not set", hint=hint)
        _reject_unknown_variables(self.names, given, overrides)
        if check_values:
            _reject_invalid_values(self.variable_checks, given, "use check_input=False to send it anyway")


def find_requirements(flow: Mapping[str, Any], declared: Mapping[str, FlowVariable]) -> RunRequirements:
    """Find what a flow requires of its runs, ignoring any parts that servers would reject."""
    schemas, required = get_fields(get_declared_schema(flow, "variables"))
    steps = FlowSteps(flow)
    return RunRequirements(
        declared=declared,
        required=tuple(
            name
            for name in dict.fromkeys((*required, *schemas))
            if get_unset_value(schemas.get(name), is_required=name in required) is NOT_GIVEN
        ),
        steps=steps,
        names=find_allowed_variables(steps),
        components=frozenset(steps.find_components()),
        input_check=make_input_validator(flow),
        variable_checks=_make_variable_checks(flow),
        decoder=make_output_decoder(flow.get("output"), find_variable_secrets({}, declared)),
    )


def check_variables(
    flow: Mapping[str, Any],
    given: Mapping[str, Any],
    overrides: Any = None,
    *,
    check_values: bool = True,
    is_strict: bool = False,
    advice: str | None = None,
) -> None:
    """Check that a flow has the variables that were passed, and that their values are valid.

    Args:
        flow: The flow.
        given: The values, by variable name.
        overrides: The run's overrides, which may make steps read more variables.
        check_values: Whether to check the values against the variables' schemas.
        is_strict: Whether to reject all variables if the flow has none.
        advice: An alternative to fixing an invalid value, added to the hint.

    Raises:
        InvalidArgumentError: If a value is invalid, or the flow has variables but lacks one that was passed. The hint
            suggests the closest name, or how to fix the value.
    """
    names = find_allowed_variables(FlowSteps(flow), keeps_none=is_strict)
    _reject_unknown_variables(names, given, overrides)
    if check_values:
        _reject_invalid_values(_make_variable_checks(flow), given, advice)


def make_input_validator(flow: Mapping[str, Any]) -> Validator | None:
    """Return a validator for a flow's inputs, or None if the flow accepts any input."""
    return _make_schema_validator(get_declared_schema(flow, "input"), get_server_defs(flow, "input"))


def _make_schema_validator(schema: Any, shared: Any) -> Validator | None:
    """Return a validator for a schema (which may refer to shared schemas), or None if every value is valid."""
    if not isinstance(schema, Mapping):
        return None
    from .json_schema import Validator, get_defs

    validator = Validator(schema, get_defs(schema, shared))
    return validator if validator.get_keyword_checks(schema) else None


def _make_variable_checks(flow: Mapping[str, Any]) -> dict[str, Validator]:
    declared = get_declared_schema(flow, "variables")
    shared = get_server_defs(flow, "variables")
    checks = {name: _make_schema_validator(value, shared) for name, value in get_fields(declared)[0].items()}
    return {name: check for name, check in checks.items() if check is not None}


def _reject_invalid_values(checks: Mapping[str, Validator], given: Mapping[str, Any], advice: str | None) -> None:
    for name in checks.keys() & given.keys():
        validator, value = checks[name], given[name]
        # Null is always allowed: it stands for a variable without a value.
        for mismatch in () if value is None else validator.find_mismatches(value, 1):
            message = f"variable {name!r} does not match the flow's schema"
            hint: str | None = "its value is not shown because it is secret"
            if not is_secret(validator.schema, validator.defs):
                place = "" if mismatch.path == "$" else f" (at {mismatch.path})"
                message, hint = f"{message}: {mismatch.message}{place}", mismatch.hint
            raise InvalidArgumentError(message, hint="; ".join(filter(None, (hint, advice))) or None)


def _reject_unknown_variables(names: frozenset[str] | None, given: Iterable[str], overrides: Any) -> None:
    if names is None or names.issuperset(given):
        return
    names |= {reference.variable for reference in find_references(overrides) if reference.variable}
    for name in given:
        if name not in names:
            hint = _suggest_name(name, sorted(names), "it has", "variables")
            raise InvalidArgumentError(f"the flow has no variable {name!r}", hint=hint)


def _suggest_name(name: str, known: Collection[str], start: str, noun: str) -> str:
    """Suggest the closest known name, or list the first ten if nothing is close."""
    listed = f"{', '.join([*known][:10])}{', ...' if len(known) > 10 else ''}"
    return suggest_nearest(name, known) or f"{start} {listed or f'no {noun}'}"


def find_allowed_variables(steps: FlowSteps, *, keeps_none: bool = False) -> frozenset[str] | None:
    """Return the variables that a flow declares or reads, or None if it has none or its schema allows others.

    If `keeps_none` is True, return an empty set instead of None for a flow that has no variables.

    Servers also pass undeclared variables to the flow, and a flow without a schema may read any of them.
    """
    schema = get_declared_schema(steps.flow, "variables")
    if _allows_unlisted_names(schema):
        return None
    names = frozenset(_find_read_variables(steps).union(get_fields(schema)[0]))
    return names if names or keeps_none else None


def _allows_unlisted_names(schema: Any) -> bool:
    return isinstance(schema, Mapping) and any(schema.get(key) not in (None, False) for key in _OPEN_SCHEMA_KEYWORDS)


def _find_read_variables(steps: FlowSteps) -> set[str]:
    """Return the variables read by a flow and by the flows inside its steps."""
    reads = (*steps.output_reads, *(read for step in steps.all for read in step.reads))
    names = {read.variable.strip() for read in reads if read.variable}
    return names.union(*(_find_read_variables(within) for inner, within in steps.inner_flows if inner.is_escaped))


def find_required_reads(
    steps: FlowSteps, *, overridden: Collection[str] = (), with_must_execute: bool = False
) -> list[Reference]:
    """Return the references that must succeed for the output to succeed, including any in the steps the output needs.

    If `with_must_execute` is True, also include references in `mustExecute` steps. Overridden steps are skipped because
    there's no way to know what they read.
    """

    def keep_certain(references: Iterable[Reference]) -> list[Reference]:
        # A condition that fails counts as false, so it can't make the output fail.
        return [reference for reference in references if reference.is_certain and not reference.is_in_condition]

    reads = {name: keep_certain(step.reads) for name, step in steps.by_id.items() if name not in overridden}
    output = keep_certain(steps.output_reads)
    starts = {read.step for read in output if read.step}
    if with_must_execute:
        starts |= {name for name, step in steps.by_id.items() if step.must_execute}
    steps_read = {name: {read.step for read in step_reads if read.step} for name, step_reads in reads.items()}
    run = find_reachable_names(starts, steps_read)
    return output + [read for name, step_reads in reads.items() if name in run for read in step_reads]


def find_required_input_paths(flow: Mapping[str, Any]) -> list[Sequence[str | int]]:
    """Return the input paths that must exist for the output to succeed."""
    paths = (parse_unambiguous_path(read.path) for read in find_required_reads(FlowSteps(flow)) if read.kind == "input")
    return [path for path in paths if path]


def find_unknown_fields(flow: Mapping[str, Any], input: Any) -> list[Mismatch]:
    """Return an input's fields, at any depth, that a flow neither declares nor reads.

    Any field is allowed in an object that the flow reads as a whole, or whose schema allows additional fields.
    """
    steps = FlowSteps(flow)
    reads = (*steps.output_reads, *(read for step in steps.all for read in step.reads))
    paths = [parse_unambiguous_path(read.path) for read in reads if read.kind == "input"]
    schema = get_declared_schema(flow, "input")
    defs = get_server_defs(flow, "input")
    return list(_iter_unknown_fields(input, schema, defs, paths, find_required_input_paths(flow), ()))


def _iter_unknown_fields(
    value: Any, schema: Any, defs: Mapping[str, Any], paths: Sequence[Any], needed: Sequence[Any], at: tuple[str, ...]
) -> Iterator[Mismatch]:
    if not isinstance(value, Mapping) or _allows_unlisted_names(schema) or not all(paths):
        return
    declared, required = get_fields(schema)
    fields = {**declared, **{str(path[0]): None for path in paths if path[0] not in declared}}
    for name, inner in value.items():
        if not fields or name in fields:
            read = [path[1:] for path in paths if path[0] == name]
            certain = [path[1:] for path in needed if path[0] == name and path[1:]]
            yield from _iter_unknown_fields(inner, declared.get(name), defs, read, certain, (*at, name))
        else:
            from .json_schema import Mismatch, format_fields_hint

            names = {*required, *(str(path[0]) for path in needed)}
            hint = suggest_nearest(str(name), fields) or format_fields_hint(fields, names, defs)
            yield Mismatch(value, f"unknown field {name!r}", hint, str(name), at)


def check_inputs(
    flow: Mapping[str, Any], inputs: Sequence[Any], *, advice: str | None = None, file: str | None = None
) -> None:
    """Check inputs against a flow's input schema. If the flow has no input schema, accept any input.

    The supported keywords are `type`, `properties`, `patternProperties`, `required`, `additionalProperties`, `items`,
    `enum`, `const`, `allOf`, `anyOf`, `oneOf`, `if`, `$ref`, `multipleOf` and `pattern`, as well as limits on numbers
    and lengths. All other keywords are ignored.

    Args:
        flow: The flow.
        inputs: The inputs of a single run.
        advice: An alternative to fixing an invalid input, added to the hint.
        file: The name of the file that the inputs came from.

    Raises:
        InvalidArgumentError: If an input doesn't match. The message says where, and the hint suggests a fix.
    """
    validator = make_input_validator(flow)
    if validator is not None:
        validator.require_valid_inputs(inputs, advice, file)
