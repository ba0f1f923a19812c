"""The requirements of a flow for its runs: checks of overrides and variables before any request. Pure.

Servers check little of this. They ignore unknown keys of a step, and a missing variable makes the step that reads it
fail. Runs that would succeed on a server are not rejected here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN
from .._base.text import nearest_hint
from .._data.flow_declarations import declared_schema, fields_of, is_secret, unset_value
from ..errors import InvalidArgumentError
from .expressions import Reference, portable_path, references
from .graph import FlowSteps, reachable

if TYPE_CHECKING:
    from ..types import FlowVariable
    from . import json_schema
else:
    json_schema = lazy_module("stepflow_client.flows.json_schema")

STEP_KEYS = ("id", "component", "input", "onError", "mustExecute", "metadata")
"""The keys of a step. Servers silently drop other keys."""
_OPEN_SCHEMA = ("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "additionalProperties")
"""The keys by which a schema may allow names that it does not list."""


class _Reads(NamedTuple):
    """The variables and steps that an expression needs: if one of them fails, the expression fails."""

    variables: frozenset[str]
    steps: frozenset[str]


class FlowNeeds(NamedTuple):
    """The requirements of a flow for its runs."""

    declared: Mapping[str, FlowVariable]
    """The variables that the flow declares."""
    required: tuple[str, ...]
    """Variables that have no value in runs that do not set them: reading one of them then fails."""
    steps: Mapping[str, _Reads]
    """The needs of each step's input, by step id."""
    reads: _Reads
    """The needs of the output, and the steps that always run."""
    names: frozenset[str] | None
    """The variables that the flow declares or reads; None if others may be given too."""
    components: frozenset[str]
    """The components of the steps that run, and of the flows in their inputs."""
    input_check: ValueCheck | None
    """Checks the inputs of runs; None if the flow accepts any input."""
    variable_checks: Mapping[str, ValueCheck]
    """Checks the values of variables, by name; without those that may have any value."""

    def check_overrides(self, overrides: Mapping[str, Any] | None) -> None:
        """Reject overrides that servers reject (an unknown step) or ignore (a key that steps do not have).

        Raises:
            InvalidArgumentError: If there is such an override. The hint suggests the most similar name.
        """
        for step, change in (overrides or {}).items():
            if step not in self.steps:
                there = nearest_hint(step, self.steps) or _listed("it has", self.steps) or "it has no steps"
                message = f"the overrides name step {step!r}, which the flow does not have"
                raise InvalidArgumentError(message, hint=there)
            value = change["value"]
            for key in value if isinstance(value, dict) else ():
                if key not in STEP_KEYS:
                    known = nearest_hint(key, STEP_KEYS) or _listed("a step has", STEP_KEYS)
                    raise InvalidArgumentError(
                        f"the override of step {step!r} has {key!r}, which no step has", hint=known
                    )

    def check_variables(
        self,
        given: Mapping[str, Any],
        overrides: Mapping[str, Any] | None,
        *,
        from_env: bool = False,
        check_values: bool = True,
    ) -> None:
        """Check that the flow has the given variables, and that those it requires and certainly reads are given.

        Null is a value.

        Args:
            given: The values of the run's variables.
            overrides: The changes by step id. An overridden step may read other variables than in the flow.
            from_env: Whether missing variables were already looked up in the environment.
            check_values: Whether to check the values against the schemas of the variables. Servers do not check them.

        Raises:
            InvalidArgumentError: If a required variable is missing, a given one is neither declared nor read by the
                flow, or a value does not match. The hint suggests the most similar name.
        """
        self._check_required(given, overrides, from_env=from_env)
        _check_names(self.names, given, overrides)
        if check_values:
            _check_values(self.variable_checks, given, "check_input=False sends it all the same")

    def _check_required(self, given: Mapping[str, Any], overrides: Mapping[str, Any] | None, *, from_env: bool) -> None:
        absent = [name for name in self.required if name not in given]
        if not absent:
            return
        read = self._certainly_read(overrides or {})
        absent = [name for name in absent if name in read]
        if not absent:
            return
        names = ", ".join(map(repr, absent))
        what = f"variable {names}, which is" if len(absent) == 1 else f"variables {names}, which are"
        raise InvalidArgumentError(
            f"the flow requires the {what} not given", hint=self._variable_hint(absent[0], given, from_env)
        )

    def _certainly_read(self, overrides: Mapping[str, Any]) -> frozenset[str]:
        # An overridden step may read anything.
        needs = {name: each.steps for name, each in self.steps.items() if name not in overrides}
        run = reachable(self.reads.steps, needs)
        return self.reads.variables.union(*(self.steps[name].variables for name in needs if name in run))

    def _variable_hint(self, name: str, given: Mapping[str, Any], from_env: bool) -> str:
        known = {*self.required, *self.declared}
        near = nearest_hint(name, [each for each in given if each not in known])
        source = self.declared[name].env_var if name in self.declared else None
        if near or not source:
            return near or f"add {name} to the variables"
        return f"{source} is not set" if from_env else f"the environment, which has {source}, was not asked for it"


def needs_of(flow: Mapping[str, Any], declared: Mapping[str, FlowVariable], *, any_variable: bool = False) -> FlowNeeds:
    """Return the requirements of a flow for its runs. Parts that servers would reject are ignored.

    With `any_variable`, variables that the flow does not have may be given.
    """
    schemas, required = fields_of(declared_schema(flow, "variables"))
    steps = FlowSteps(flow)
    output = _reads(steps.output_reads)
    always = {name for name, step in steps.by_id.items() if step.must_execute}
    return FlowNeeds(
        declared=declared,
        required=tuple(
            name
            for name in dict.fromkeys((*required, *schemas))
            if unset_value(schemas.get(name), is_required=name in required) is NOT_GIVEN
        ),
        steps={name: _reads(step.reads) for name, step in steps.by_id.items()},
        reads=_Reads(output.variables, output.steps | always),
        names=None if any_variable else variable_names(steps),
        components=frozenset(steps.components()),
        input_check=ValueCheck.of(flow),
        variable_checks=_variable_checks(flow),
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
    """Check that a flow has the given variables, and their values. Overrides may make its steps read others.

    Args:
        flow: The flow.
        given: The values by name.
        overrides: The overrides of the run.
        check_values: Whether to check the values against the schemas of the variables.
        is_strict: Whether to refuse variables that a flow without any would get.
        advice: What else to do about a value that does not match; it is added to the hint.

    Raises:
        InvalidArgumentError: If the flow has or reads variables, and one of the given names is not among them; or if a
            value does not match. The hint suggests the most similar name, or says how to fix the value.
    """
    names = variable_names(FlowSteps(flow), keeps_none=is_strict)
    _check_names(names, given, overrides)
    if check_values:
        _check_values(_variable_checks(flow), given, advice)


def _variable_checks(flow: Mapping[str, Any]) -> dict[str, ValueCheck]:
    declared = declared_schema(flow, "variables")
    shared = json_schema.definitions_of(declared, flow["schemas"].get("$defs")) if isinstance(declared, Mapping) else {}
    checks = {name: ValueCheck.of_schema(each, shared) for name, each in fields_of(declared)[0].items()}
    return {name: check for name, check in checks.items() if check is not None}


def _check_values(checks: Mapping[str, ValueCheck], given: Mapping[str, Any], advice: str | None) -> None:
    for name in checks.keys() & given.keys():
        check, value = checks[name], given[name]
        # Any variable may be null, as if it had no value.
        for wrong in () if value is None else check.validator.mismatches(value, 1):
            message = f"variable {name!r} does not fit the flow's schema"
            hint: str | None = "its value is not shown, because it is secret"
            if not is_secret(check.validator.schema, check.validator.defs):
                message = f"{message}: {wrong.message}{'' if wrong.path == '$' else f' (at {wrong.path})'}"
                hint = wrong.hint
            raise InvalidArgumentError(message, hint="; ".join(filter(None, (hint, advice))) or None)


def _check_names(names: frozenset[str] | None, given: Iterable[str], overrides: Any) -> None:
    unknown = [name for name in given if name not in names] if names is not None else []
    if not unknown or names is None:
        return
    names |= {each.variable for each in references(overrides) if each.variable}
    for name in unknown:
        if name not in names:
            there = nearest_hint(name, sorted(names)) or _listed("it has", sorted(names)) or "it has no variables"
            raise InvalidArgumentError(f"the flow has no variable {name!r}", hint=there)


def variable_names(steps: FlowSteps, *, keeps_none: bool = False) -> frozenset[str] | None:
    """Return the variables that a flow declares or reads; None if it has none, or if its schema allows others.

    With `keeps_none`, the variables of a flow that has none are an empty set.

    Servers pass undeclared variables on, and flows without a schema may read any.
    """
    schema = declared_schema(steps.flow, "variables")
    if isinstance(schema, Mapping) and any(schema.get(key) not in (None, False) for key in _OPEN_SCHEMA):
        return None
    names = frozenset(_read_names(steps).union(fields_of(schema)[0]))
    return names if names or keeps_none else None


def _read_names(steps: FlowSteps) -> set[str]:
    """Return the variables that a flow reads, and those that the flows in its steps read."""
    reads = (*steps.output_reads, *(each for step in steps.all for each in step.reads))
    names = {each.variable.strip() for each in reads if each.variable}
    return names.union(*(_read_names(within) for inner, within in steps.inner if inner.is_escaped))


def certain_reads(flow: Mapping[str, Any]) -> list[Reference]:
    """Return the references without whose values the output fails: its own, and those of the steps that it needs."""
    steps = FlowSteps(flow)
    needs = {name: {each.step for each in _needed(step.reads) if each.step} for name, step in steps.by_id.items()}
    output = _needed(steps.output_reads)
    run = reachable((each.step for each in output if each.step), needs)
    return output + [each for name, step in steps.by_id.items() if name in run for each in _needed(step.reads)]


def required_paths(flow: Mapping[str, Any]) -> list[Sequence[str | int]]:
    """Return the paths of the input without which the output fails."""
    paths = (portable_path(each.path) for each in certain_reads(flow) if each.kind == "input")
    return [path for path in paths if path]


def unread_fields(flow: Mapping[str, Any], input: Any) -> list[json_schema.Mismatch]:
    """Return the fields of an input, at any depth, that a flow neither declares nor reads.

    An object that the flow reads as a whole may have any fields, and so may one whose schema allows further fields.
    """
    steps = FlowSteps(flow)
    reads = (*steps.output_reads, *(each for step in steps.all for each in step.reads))
    paths = [portable_path(each.path) for each in reads if each.kind == "input"]
    schema = declared_schema(flow, "input")
    shared = flow["schemas"].get("$defs") if schema is not None else None
    return list(_unread(input, schema, json_schema.definitions_of(schema, shared), paths, required_paths(flow), ()))


def _unread(
    value: Any,
    schema: Any,
    defs: Mapping[str, Any],
    paths: Sequence[Any],
    needed: Sequence[Sequence[str | int]],
    parts: tuple[str, ...],
) -> Iterator[json_schema.Mismatch]:
    is_open = isinstance(schema, Mapping) and any(schema.get(key) not in (None, False) for key in _OPEN_SCHEMA)
    if not isinstance(value, Mapping) or is_open or not all(paths):
        return
    declared, required = fields_of(schema)
    fields = {**declared, **{str(path[0]): None for path in paths if path[0] not in declared}}
    for name, inner in value.items():
        if not fields or name in fields:
            read, certain = ([path[1:] for path in some if path[0] == name] for some in (paths, needed))
            yield from _unread(inner, declared.get(name), defs, read, [*filter(None, certain)], (*parts, name))
        else:
            names = {*required, *(str(path[0]) for path in needed)}
            hint = nearest_hint(str(name), fields) or json_schema.fields_text(fields, names, defs)
            yield json_schema.Mismatch(value, f"there is no field {name!r}", hint, str(name), parts)


def _needed(references: Iterable[Reference]) -> list[Reference]:
    # A condition that fails is false.
    return [each for each in references if each.is_certain and not each.in_condition]


def _reads(references: Iterable[Reference]) -> _Reads:
    # A default makes up for a missing variable.
    needed = _needed(references)
    variables = (each.variable for each in needed if "default" not in each.expression)
    return _Reads(
        frozenset(name.strip() for name in variables if name), frozenset(each.step for each in needed if each.step)
    )


def _listed(what: str, names: Iterable[str]) -> str | None:
    known = list(names)
    return f"{what} {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}" if known else None


def check_inputs(
    flow: Mapping[str, Any], inputs: Sequence[Any], *, advice: str | None = None, file: str | None = None
) -> None:
    """Check inputs against the input schema of a flow; without one, it accepts any input.

    The keywords `type`, `properties`, `patternProperties`, `required`, `additionalProperties`, `items`, `enum`,
    `const`, `allOf`, `anyOf`, `oneOf`, `if` and `$ref` are supported, the limits of numbers and lengths, `multipleOf`
    and `pattern`. Other keywords are ignored.

    Args:
        flow: The flow.
        inputs: The inputs of one run.
        advice: What else to do about an input that does not match; it is added to the hint.
        file: The name of the file that has the inputs.

    Raises:
        InvalidArgumentError: If an input does not match. The message names the place in the input, and the hint says
            how to fix it.
    """
    check = ValueCheck.of(flow)
    if check is not None:
        check.all(inputs, advice, file)


class ValueCheck(NamedTuple):
    """Checks values against a schema of a flow, as `check_inputs` does."""

    validator: json_schema.Validator

    @classmethod
    def of(cls, flow: Mapping[str, Any]) -> ValueCheck | None:
        """Return the check for the inputs of a flow; None if the flow accepts any input."""
        schema = declared_schema(flow, "input")
        return None if schema is None else cls.of_schema(schema, flow["schemas"].get("$defs"))

    @classmethod
    def of_schema(cls, schema: Any, shared: Any) -> ValueCheck | None:
        """Return the check for a schema, which may refer to shared ones; None if it allows any value."""
        if not isinstance(schema, Mapping):
            return None
        validator = json_schema.Validator(schema, json_schema.definitions_of(schema, shared))
        return cls(validator) if validator.read(schema) else None

    def fits_all(self, values: Sequence[Any]) -> bool:
        """Return whether all of several inputs match."""
        return not any(self.validator.mismatches(each, 1) for each in values)

    def one(self, value: Any, which: str = "the input") -> None:
        """Check an input, which `which` names in the message.

        Raises:
            InvalidArgumentError: If it does not match.
        """
        for wrong in self.validator.mismatches(value, 1):
            raise InvalidArgumentError(
                f"{which} does not fit the flow's schema: {wrong.message} (at {wrong.path})", hint=wrong.hint
            )

    def all(self, inputs: Sequence[Any], advice: str | None = None, file: str | None = None) -> None:
        """Check all inputs of a run.

        Raises:
            InvalidArgumentError: If one does not match. Its hint contains the advice.
        """
        where = "" if file is None else f" in {file}"
        for index, value in enumerate(inputs):
            try:
                which = f"the input{where}" if len(inputs) == 1 else f"input {index}{where} (the first is 0)"
                self.one(value, which)
            except InvalidArgumentError as error:
                error.hint = "; ".join(filter(None, (error.hint, advice)))
                raise
