"""Determines which steps of a run are kept in a rerun. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._codec.secrets import is_hidden
from .._codec.values import merge_overrides
from ..errors import InvalidArgumentError
from .dependencies import reads_of, steps_behind, steps_by_id
from .needs import nearest_hint, root_of

if TYPE_CHECKING:
    from ..history import HistoryEntry
    from ..reruns import RerunItem
    from ..types import StepDetails

__all__ = [
    "Recorded",
    "check_kept",
    "check_recorded_variables",
    "check_step",
    "kept_outputs",
    "needs_input",
    "overrides_of_executed",
    "recorded_of",
    "unknown_of",
]

_FORCE = "force keeps it all the same; an earlier step to start from executes it"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The recorded arguments of the earlier run, from the history."""

    has_input: bool = False
    input: Any = None
    variables: Mapping[str, Any] | None = None
    """The variables; None if they are unknown."""
    hidden: frozenset[str] = field(default=frozenset())
    """Names of secret variables that were given. Their values are not stored anywhere."""
    overrides: Mapping[str, Any] | None = None
    """The overrides; None if they are unknown."""


def recorded_of(entry: HistoryEntry | None, flow: Mapping[str, Any]) -> Recorded:
    """Return the arguments that can be reused from a recorded run.

    Values that contain secrets cannot be reused, because the history hides them.

    Args:
        entry: The entry of the run; None if it was not recorded.
        flow: The flow to run. Overrides of steps that it does not have are left out.
    """
    if entry is None:
        return Recorded()
    given = entry.variables or {}
    hidden = frozenset(name for name, value in given.items() if is_hidden(value))
    steps = steps_by_id(flow)
    changes = {step: change for step, change in (merge_overrides(entry.overrides) or {}).items() if step in steps}
    return Recorded(
        has_input="input" not in entry.omitted and not is_hidden(entry.input),
        input=entry.input,
        variables=None
        if "variables" in entry.omitted
        else {name: value for name, value in given.items() if name not in hidden},
        hidden=hidden,
        overrides=None if "overrides" in entry.omitted or is_hidden(changes) else changes,
    )


def check_recorded_variables(
    flow: Mapping[str, Any], items: Sequence[RerunItem], recorded: Recorded, given: Iterable[str]
) -> None:
    """Check that the secret variables of the earlier run are given again if executed steps or the output read them.

    Raises:
        InvalidArgumentError: If one of them is missing.
    """
    read = {root_of(path) for path in _read(flow, items, "$variable")}
    missing = sorted((recorded.hidden & read) - set(given))
    if missing:
        names = ", ".join(map(repr, missing))
        raise InvalidArgumentError(
            f"the history does not keep the value of secret variable {names}, which the steps that are executed read",
            hint="give it again, or take variables from the environment",
        )


def check_step(flow: Mapping[str, Any], step: str) -> None:
    """Check that the flow has a step.

    Raises:
        InvalidArgumentError: If it does not. The hint names the most similar step, or all of them.
    """
    steps = steps_by_id(flow)
    if step not in steps:
        hint = nearest_hint(step, steps) or f"it has {', '.join(steps) or 'no steps'}"
        raise InvalidArgumentError(f"the flow has no step {step!r}", hint=hint)


def kept_outputs(
    flow: Mapping[str, Any], steps: Iterable[StepDetails], from_step: str | None, failed: bool
) -> dict[str, Any]:
    """Return the outputs of the steps of an item that are kept, by step id.

    A step is kept if it has completed, is not the chosen step, and reads neither the chosen step nor a step that has
    not completed, directly or through other steps.

    Args:
        flow: The flow to run.
        steps: The steps of the item in the earlier run.
        from_step: The chosen step; None for none.
        failed: Whether to keep completed steps if no step is chosen. If False, nothing is kept in that case.
    """
    if from_step is None and not failed:
        return {}
    listed = list(steps)
    again = {step.step_id for step in listed if step.status.value != "completed"}
    behind = steps_behind(flow, again | ({from_step} if from_step is not None else set()))
    there = steps_by_id(flow)
    return {
        step.step_id: step.output
        for step in listed
        if step.step_id in there and step.step_id not in behind and step.status.value == "completed"
    }


def check_kept(
    old: Mapping[str, Any], new: Mapping[str, Any], overrides: Any, items: Sequence[RerunItem], *, force: bool
) -> None:
    """Check that no step is kept whose output may have changed; with `force`, check nothing.

    Raises:
        InvalidArgumentError: If a kept step, or a step that it reads, has changed in the flow or is overridden.
    """
    if force:
        return
    kept = {step for item in items for step in item.kept}
    before, after = steps_by_id(old), steps_by_id(new)
    changed = {step for step in after if step not in before or _definition(before[step]) != _definition(after[step])}
    for step in after:
        if step in kept and step in (merge_overrides(overrides) or {}):
            raise InvalidArgumentError(f"step {step!r} is kept, so its override would have no effect", hint=_FORCE)
        if step in kept and step in changed:
            raise InvalidArgumentError(f"step {step!r} is kept, but its definition has changed", hint=_FORCE)
    behind = steps_behind(new, changed | set(merge_overrides(overrides) or {}))
    stale = next((step for item in items for step in after if step in item.kept and step in behind), None)
    if stale is not None:
        raise InvalidArgumentError(f"step {stale!r} is kept, but reads a step that has changed", hint=_FORCE)


def _definition(step: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the parts of a step that determine its output."""
    on_error = step.get("onError") or {"action": "fail"}
    return step.get("component"), step.get("input"), {k: v for k, v in on_error.items() if v is not None}


def overrides_of_executed(overrides: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides without those of kept steps."""
    return {step: change for step, change in (merge_overrides(overrides) or {}).items() if step not in kept}


def _read(flow: Mapping[str, Any], items: Sequence[RerunItem], keyword: str) -> set[str]:
    steps = steps_by_id(flow)
    executed = {step for item in items for step in item.executed}
    inputs = [steps[step].get("input") for step in executed if step in steps]
    return reads_of([*inputs, flow.get("output")], keyword)


def needs_input(flow: Mapping[str, Any], items: Sequence[RerunItem]) -> bool:
    """Return whether an executed step or the output may read the flow's input."""
    return bool(_read(flow, items, "$input"))


def unknown_of(
    flow: Mapping[str, Any], items: Sequence[RerunItem], variables: Any, overrides: Any, recorded: Recorded
) -> list[str]:
    """Return which arguments of the earlier run (`variables`, `overrides`) are unknown and may affect the rerun."""
    is_unknown = variables is None and recorded.variables is None
    missing = ["variables"] if is_unknown and _read(flow, items, "$variable") else []
    return missing + (["overrides"] if overrides is None and recorded.overrides is None else [])
