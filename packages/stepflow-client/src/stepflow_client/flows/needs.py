"""The requirements of a flow for its runs: checks of overrides and variables before any request. Pure.

Servers check little of this. They ignore unknown keys of a step, and a missing variable makes the step that reads it
fail. Runs that would succeed on a server are not rejected here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidArgumentError
from .nearest import did_you_mean, nearest

if TYPE_CHECKING:
    from ..types import FlowVariable

__all__ = ["STEP_KEYS", "FlowNeeds", "nearest_hint", "needs_of", "root_of"]

STEP_KEYS = ("id", "component", "input", "onError", "mustExecute", "metadata")
"""The keys of a step. Servers silently drop other keys."""
_ROOT = re.compile(r"""\$\.?(?P<name>[^.\[\]]+) | \$\[\s*['"](?P<quoted>[^'"]*)['"]\s*\]""", re.VERBOSE)
"""Matches the variable at the beginning of a path."""


class _Reads(NamedTuple):
    """The variables and steps that an expression needs: if one of them fails, the expression fails."""

    variables: frozenset[str]
    steps: frozenset[str]


@dataclass(frozen=True, slots=True)
class FlowNeeds:
    """The requirements of a flow for its runs."""

    declared: Mapping[str, FlowVariable]
    """The variables that the flow declares."""
    required: tuple[str, ...]
    """Required variables without a default. Reading one of them without a value is an error."""
    steps: Mapping[str, _Reads]
    """The needs of each step's input, by step id."""
    reads: _Reads
    """The needs of the output, and the steps that always run."""

    def check_overrides(self, overrides: Mapping[str, Any] | None) -> None:
        """Reject overrides that servers reject (an unknown step) or ignore (a key that steps do not have).

        Args:
            overrides: The changes by step id, each under `value`.

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
        self, given: Mapping[str, Any], overrides: Mapping[str, Any] | None, *, from_env: bool = False
    ) -> None:
        """Check that every required variable that is certain to be read has a value. Null is a value.

        Args:
            given: The values of the run's variables.
            overrides: The changes by step id. An overridden step may read other variables than in the flow.
            from_env: Whether missing variables were already looked up in the environment.

        Raises:
            InvalidArgumentError: If one is missing. The hint suggests the most similar of the given names that the flow
                does not declare.
        """
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

    def _certainly_read(self, overrides: Mapping[str, Any]) -> set[str]:
        read, waiting, seen = set(self.reads.variables), set(self.reads.steps), set[str]()
        while waiting:
            step = waiting.pop()
            if step in seen or step in overrides or step not in self.steps:
                continue
            seen.add(step)
            read |= self.steps[step].variables
            waiting |= self.steps[step].steps
        return read

    def _variable_hint(self, name: str, given: Mapping[str, Any], from_env: bool) -> str | None:
        known = {*self.required, *self.declared}
        near = nearest_hint(name, [each for each in given if each not in known])
        source = self.declared[name].env_var if name in self.declared else None
        if near or not source:
            return near
        return f"{source} is not set" if from_env else f"the environment, which has {source}, was not asked for it"


def root_of(path: str) -> str:
    """Return the variable at the beginning of a path: `key` for `key`, `$.key` and `$.key.part`."""
    found = _ROOT.match(path)
    return path if found is None else found["name"] or found["quoted"]


def needs_of(flow: Mapping[str, Any], declared: Mapping[str, FlowVariable]) -> FlowNeeds:
    """Return the requirements of a flow for its runs.

    Args:
        flow: The flow. Parts that servers would reject are ignored.
        declared: The variables that it declares.
    """
    schema: Any = flow
    for key in ("schemas", "properties", "variables"):
        schema = schema.get(key) if isinstance(schema, Mapping) else None
    listed = schema.get("required") if isinstance(schema, Mapping) else None
    required = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    found = flow.get("steps")
    steps = [each for each in found if isinstance(each, Mapping)] if isinstance(found, Sequence) else []
    by_id = {each["id"]: each for each in steps if isinstance(each.get("id"), str)}
    output = _reads(flow.get("output"))
    always = {name for name, step in by_id.items() if step.get("mustExecute") is True}
    return FlowNeeds(
        declared=declared,
        # A variable with a default is never required, even if it is listed.
        required=tuple(name for name in required if name not in declared or declared[name].required),
        steps={name: _reads(step.get("input")) for name, step in by_id.items()},
        reads=_Reads(output.variables, output.steps | always),
    )


def _reads(expression: Any) -> _Reads:
    variables: set[str] = set()
    steps: set[str] = set()
    _collect(expression, variables, steps)
    return _Reads(frozenset(variables), frozenset(steps))


def _collect(value: Any, variables: set[str], steps: set[str]) -> None:
    if isinstance(value, (list, tuple)):
        for each in value:
            _collect(each, variables, steps)
    if not isinstance(value, Mapping):
        return
    # The first of these keys takes precedence. A failing condition counts as false, and only one branch is read.
    if "$literal" in value or "$if" in value:
        return
    if "$coalesce" in value:
        alternatives = value["$coalesce"]
        if isinstance(alternatives, (list, tuple)):
            # Later alternatives are only read if this one is null.
            _collect(alternatives[:1], variables, steps)
    elif "$step" in value:
        if isinstance(value["$step"], str):
            steps.add(value["$step"])
    elif "$variable" in value:
        if "default" not in value and isinstance(value["$variable"], str):
            variables.add(_variable_of(value["$variable"].strip()))
    elif "$from" not in value and "$input" not in value:
        for each in value.values():
            _collect(each, variables, steps)


def _variable_of(path: str) -> str:
    found = _ROOT.match(path)
    return (found["name"] or found["quoted"] or "").strip() if found else path


def nearest_hint(word: str, known: Iterable[str]) -> str | None:
    """Return `did you mean ...?` with the known name that is most similar to a word; None if none is similar."""
    found = nearest(word, known)
    return None if found is None else did_you_mean(found)


def _listed(what: str, names: Iterable[str]) -> str | None:
    known = list(names)
    return f"{what} {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}" if known else None
