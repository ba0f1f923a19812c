"""Determines which steps of a run are kept in a rerun, and shortens a flow to a part of its steps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._base.text import nearest_hint
from .._data.arguments import check_instances, check_integer, check_text
from .._data.declared import declared_schema
from .._data.expressions import Reference, portable_path, references
from .._data.secrets import is_hidden
from .._data.values import merge_overrides
from ..errors import InvalidArgumentError
from .graph import FlowSteps, reachable, steps_behind, steps_by_id
from .matching import equal

if TYPE_CHECKING:
    from ..types import StepDetails
    from ..types.history_entry import HistoryEntry
    from ..types.reruns import RerunItem

__all__ = [
    "Recorded", "check_items", "check_kept", "check_recorded_variables", "check_step", "chosen_items", "executed_in",
    "flow_until", "kept_outputs", "needs_input", "outdated_steps", "overrides_of_executed", "recorded_of",
    "taken_from", "unknown_of",
]  # fmt: skip

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
    """Return the arguments that can be reused from a recorded run, without overrides of steps that the flow lacks.

    Values that contain secrets cannot be reused, because the history hides them.
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
    read = {each.variable for each in _read(flow, items, "variable")}
    missing = sorted((recorded.hidden & read) - set(given))
    if missing:
        names = ", ".join(map(repr, missing))
        raise InvalidArgumentError(
            f"the history does not keep the value of secret variable {names}, which the steps that are executed read",
            hint="give it again, or take variables from the environment",
        )


def check_items(items: Any) -> None:
    """Check the indexes of the items to run again.

    Raises:
        InvalidArgumentError: If they are not indexes.
    """
    for each in () if items is None else check_instances(items, "items", int):
        check_integer(each, "items", least=0)


def chosen_items(items: Iterable[int] | None, total: int, run_id: str) -> list[int]:
    """Return the indexes of the chosen items in order, or of all items if none are chosen (None).

    Raises:
        InvalidArgumentError: If the run has no such item.
    """
    chosen = list(range(total)) if items is None else sorted(set(items))
    if chosen and chosen[-1] >= total:
        raise InvalidArgumentError(f"run {run_id} has no item {chosen[-1]}", hint=f"it has {total}, counted from 0")
    return chosen


def check_step(flow: Mapping[str, Any], step: str) -> None:
    """Check that the flow has a step.

    Raises:
        InvalidArgumentError: If it does not. The hint names the most similar step, or all of them.
    """
    steps = steps_by_id(flow)
    if check_text(step, "from_step") not in steps:
        hint = nearest_hint(step, steps) or f"it has {', '.join(steps) or 'no steps'}"
        raise InvalidArgumentError(f"the flow has no step {step!r}", hint=hint)


def kept_outputs(
    flow: Mapping[str, Any],
    steps: Iterable[StepDetails],
    pinned: Mapping[str, Any],
    from_step: str | None,
    failed: bool,
) -> dict[str, Any]:
    """Return the outputs of the steps of an item that are kept, by step id.

    A step is kept if it has completed, is not the chosen step, and reads neither the chosen step nor a step that has
    not completed, directly or through other steps.

    Args:
        flow: The flow to run.
        steps: The steps of the item in the earlier run.
        pinned: The outputs that the earlier run itself kept, by step id. A server does not list a kept step if no step
            that was executed reads it.
        from_step: The chosen step; None for none.
        failed: Whether to keep completed steps if no step is chosen. If False, nothing is kept in that case.
    """
    if from_step is None and not failed:
        return {}
    listed = list(steps)
    again = {step.step_id for step in listed if step.status.value != "completed"}
    behind = steps_behind(flow, again | ({from_step} if from_step is not None else set()))
    there = steps_by_id(flow)
    outputs = {**pinned, **{step.step_id: step.output for step in listed}}
    return {step: output for step, output in outputs.items() if step in there and step not in behind}


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


def _read(flow: Mapping[str, Any], items: Sequence[RerunItem], kind: str) -> list[Reference]:
    steps = steps_by_id(flow)
    executed = {step for item in items for step in item.executed}
    inputs = [steps[step].get("input") for step in executed if step in steps]
    return [each for each in references([*inputs, flow.get("output")]) if each.kind == kind]


def needs_input(flow: Mapping[str, Any], items: Sequence[RerunItem]) -> bool:
    """Return whether an executed step or the output may read the flow's input."""
    return bool(_read(flow, items, "input"))


def taken_from(
    recorded: Recorded,
    flow: Mapping[str, Any],
    items: Sequence[RerunItem],
    given: Iterable[str],
    *,
    has_input: bool,
) -> list[str]:
    """Return which recorded arguments (`input`, `variables`, `overrides`) are used; `given` names the new variables."""
    if not items:
        return []
    overridden = [step for item in items for step in recorded.overrides or () if step not in item.kept]
    is_taken = {
        "input": recorded.has_input and not has_input and needs_input(flow, items),
        "variables": bool(set(recorded.variables or ()) - set(given)),
        "overrides": bool(overridden),
    }
    return [name for name, taken in is_taken.items() if taken]


def unknown_of(
    flow: Mapping[str, Any], items: Sequence[RerunItem], variables: Any, overrides: Any, recorded: Recorded
) -> list[str]:
    """Return which arguments of the earlier run (`variables`, `overrides`) are unknown and may affect the rerun."""
    is_unknown = variables is None and recorded.variables is None
    missing = ["variables"] if is_unknown and _read(flow, items, "variable") else []
    return missing + (["overrides"] if overrides is None and recorded.overrides is None else [])


def outdated_steps(
    flow: Mapping[str, Any],
    items: Sequence[RerunItem],
    inputs: Mapping[int, Any] | None,
    variables: Mapping[str, Any],
    source: Callable[[int, str], tuple[HistoryEntry, int] | None],
) -> list[str]:
    """Return the kept steps whose outputs depend on another input, or on other variables, than the new ones.

    Args:
        flow: The flow to run.
        items: The items to run again.
        inputs: The new input of each item, by index; None if it is unknown.
        variables: The new variables.
        source: Returns the run that executed a step of an item, and the item's index there; None if it is unknown.
    """
    changed: set[str] = set()
    for name, step in steps_by_id(flow).items():
        reads = {"input": _roots(step, "input"), "variables": _roots(step, "variable") & variables.keys()}
        for item in items if any(reads.values()) else ():
            found = source(item.index, name) if name in item.kept else None
            after = (
                {"variables": variables} if inputs is None else {"input": inputs[item.index], "variables": variables}
            )
            if found is not None and _differ(_computed_from(*found), after, reads):
                changed.add(name)
                break
    behind, kept = steps_behind(flow, changed), {step for item in items for step in item.kept}
    return [step for step in steps_by_id(flow) if step in behind and step in kept]


def executed_in(
    recorded: Callable[[str], HistoryEntry | None], run_id: str, index: int, step: str
) -> tuple[HistoryEntry, int] | None:
    """Return the recorded run that executed a step of an item, and the index of the item in that run; None if unknown.

    The given run has the output of the step, but a rerun may have kept it from the run that it comes from, which may
    have kept it too.
    """
    seen: set[str] = set()
    while run_id not in seen:
        seen.add(run_id)
        entry = recorded(run_id)
        if entry is None:
            return None
        if entry.rerun_of is None or step not in entry.kept:
            return entry, index
        if index >= len(entry.rerun_items):
            return None
        run_id, index = entry.rerun_of, entry.rerun_items[index]
    return None


def _roots(step: Mapping[str, Any], kind: str) -> set[str | None]:
    """Return the fields of the input, or the variables, that a step reads; None stands for all of them."""
    paths = (portable_path(each.path) for each in references(step.get("input")) if each.kind == kind)
    return {path[0] if path and isinstance(path[0], str) else None for path in paths}


def _computed_from(entry: HistoryEntry, index: int) -> dict[str, Any]:
    """Return the input of an item of a recorded run and its variables, as far as they are known."""
    inputs = entry.input if isinstance(entry.input, list) else [entry.input]
    known: dict[str, Any] = {}
    if "input" not in entry.omitted and index < len(inputs):
        known["input"] = inputs[index]
    if "variables" not in entry.omitted:
        known["variables"] = entry.variables or {}
    return known


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], reads: Mapping[str, set[str | None]]) -> bool:
    """Return whether a part that is read differs. What the history hides cannot be compared."""
    for what in before.keys() & after.keys():
        for root in reads[what]:
            old, new = _part(before[what], root), _part(after[what], root)
            if not is_hidden(old) and not equal(old, new):
                return True
    return False


def _part(value: Any, root: str | None) -> Any:
    """Return the part of a value that an expression reads; all of it if the path is not the name of a field."""
    return value.get(root) if isinstance(value, Mapping) and root is not None else value


def flow_until(flow: Mapping[str, Any], step: str, overrides: Any = None) -> tuple[dict[str, Any], Any]:
    """Return a flow that consists of a step and the steps it reads, and the overrides without those of removed steps.

    The output of the returned flow is the output of the step. A step that is overridden may read other steps.

    Raises:
        InvalidArgumentError: If the flow has no such step, or the overrides are malformed.
    """
    check_step(flow, step)
    steps, changes = steps_by_id(flow), merge_overrides(overrides) or {}
    reads = dict(FlowSteps(flow).reads)
    for name, change in changes.items():
        patch = change.get("value")
        given = references(patch.get("input")) if isinstance(patch, Mapping) else []
        reads[name] = reads.get(name, set()) | {each.step for each in given if each.step}
    needed = reachable([step], reads)
    cut = {**flow, "steps": [each for name, each in steps.items() if name in needed], "output": {"$step": step}}
    if isinstance(properties := declared_schema(flow), Mapping):
        # The output schema only applies to the whole flow.
        kept = {name: schema for name, schema in properties.items() if name != "output"}
        cut["schemas"] = {**flow["schemas"], "properties": kept}
    # Overrides of unknown steps are kept, so that they are rejected later.
    left = {name: change for name, change in changes.items() if name in needed or name not in steps}
    return cut, left or None
