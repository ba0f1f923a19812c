"""Decides which steps a rerun executes and which outputs it keeps from the earlier run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from .._base.not_given import NOT_GIVEN
from .._codec import call_checks
from .._codec.call_checks import RunId, Variables
from .._codec.idempotency_marker_blobs import check_key
from .._data.arguments import argument_error, check_choice, check_flags, check_instances, check_integer, check_texts
from .._data.flow_declarations import get_variable_declarations
from .._data.secrets import get_hidden_mark, has_hidden_part
from .._data.wire import unify_overrides
from .._rules.operations_and_releases import Server, require_capability
from ..errors import InvalidArgumentError
from ..flows.expected_results import is_json_equal, may_equal_masked
from ..flows.expressions import Reference, find_references, parse_unambiguous_path, prefix_bare_paths
from ..flows.graph import FlowSteps, check_step_exists, cut_flow_to_step, get_steps_by_id
from ..flows.interpreter import apply_overrides_if_valid
from ..flows.reading import FlowSource
from ..flows.run_requirements import check_variables
from ..types import FlowResult, StepDetails
from ..types.reruns import Keep, KeepOption, RerunItem, RerunPlan
from ..types.runs import HistoryEntry

_FORCE_HINT = "to keep it anyway, set force; to execute it, start from an earlier step"


class RecordedArguments(NamedTuple):
    """The earlier run's arguments, as recorded in the history."""

    input: Any = NOT_GIVEN
    """The input, or `NOT_GIVEN` if unknown."""
    variables: Mapping[str, Any] | None = None
    """The variables, or None if unknown."""
    hidden: Mapping[str, Any] = {}
    """Variables masked in the history because they contain secrets. The real values aren't stored anywhere."""
    overrides: Mapping[str, Any] | None = None
    """The overrides, or None if unknown."""
    flow_file: str | None = None


def read_recorded_arguments(entry: HistoryEntry | None, flow: Mapping[str, Any]) -> RecordedArguments:
    """Return a recorded run's reusable arguments, minus any overrides for steps that the flow doesn't have.

    Values that contain secrets can't be reused, because the history hides them.
    """
    if entry is None:
        return RecordedArguments()
    mark = get_hidden_mark(entry.flow)
    is_input_known = "input" not in entry.omitted and not has_hidden_part(entry.input, mark)
    variables = entry.variables or {}
    hidden = {name: value for name, value in variables.items() if has_hidden_part(value, mark)}
    visible = {name: value for name, value in variables.items() if name not in hidden}
    steps = get_steps_by_id(flow)
    overrides = {step: change for step, change in (unify_overrides(entry.overrides) or {}).items() if step in steps}
    return RecordedArguments(
        input=entry.input if is_input_known else NOT_GIVEN,
        variables=None if "variables" in entry.omitted else visible,
        hidden=hidden,
        overrides=None if "overrides" in entry.omitted or has_hidden_part(overrides, mark) else overrides,
        flow_file=entry.flow_file,
    )


def is_flow_masked(flow: Mapping[str, Any]) -> bool:
    """Return whether the history hides parts of a recorded flow."""
    return has_hidden_part(flow, get_hidden_mark(flow))


def _require_secret_variables(new_run: NewRun, items: Sequence[RerunItem]) -> None:
    """Check that every secret variable read by an executed step or by the output is passed again.

    Raises:
        InvalidArgumentError: If one is missing.
    """
    read = {reference.variable for reference in _find_references_of_rerun(new_run.effective, items, "variable")}
    missing = sorted((new_run.recorded.hidden.keys() & read) - new_run.new_variables.keys())
    if missing:
        names = ", ".join(map(repr, missing))
        raise InvalidArgumentError(
            f"the executed steps read the secret variable {names}, whose value is not in the history",
            hint="pass it again, or take variables from the environment",
        )


def _reject_stale_kept_steps(new_run: NewRun, items: Sequence[RerunItem]) -> None:
    """Check that no kept output could be stale.

    Raises:
        InvalidArgumentError: If a kept step, or a step it reads, has changed in the flow or is overridden.
    """
    kept = {step for item in items for step in item.kept}
    changed, overridden = new_run.changed, unify_overrides(new_run.request.overrides) or {}
    for step in get_steps_by_id(new_run.effective):
        if step in kept & changed:
            why = "so its override would have no effect" if step in overridden else "but its definition has changed"
            raise InvalidArgumentError(f"step {step!r} is kept, {why}", hint=_FORCE_HINT)
    dependent = FlowSteps(new_run.effective).find_downstream_steps(changed)
    stale = next((step for step in get_steps_by_id(new_run.effective) if step in kept & dependent), None)
    if stale is not None:
        raise InvalidArgumentError(f"step {stale!r} is kept, but reads a step that has changed", hint=_FORCE_HINT)


def _find_changed_steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the steps that are new or whose definitions differ from an older version of the flow."""
    before = get_steps_by_id(old)
    return {
        name
        for name, step in get_steps_by_id(new).items()
        if name not in before or not is_json_equal(_get_compared_fields(before[name]), _get_compared_fields(step))
    }


def _get_compared_fields(step: Mapping[str, Any]) -> list[Any]:
    """Return the fields of a step that determine its output."""
    given, on_error = prefix_bare_paths(step.get("input")), step.get("onError") or {"action": "fail"}
    return [step.get("component"), given, {k: v for k, v in on_error.items() if v is not None}]


def drop_kept_overrides(overrides: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides, leaving out any for kept steps."""
    return {step: change for step, change in (unify_overrides(overrides) or {}).items() if step not in kept}


def _find_references_of_rerun(flow: Mapping[str, Any], items: Sequence[RerunItem], kind: str) -> list[Reference]:
    steps = get_steps_by_id(flow)
    executed = {step for item in items for step in item.executed}
    inputs = [steps[step].get("input") for step in executed if step in steps]
    return [reference for reference in find_references([*inputs, flow.get("output")]) if reference.kind == kind]


def needs_input(flow: Mapping[str, Any], items: Sequence[RerunItem]) -> bool:
    """Return whether an executed step or the output might read the flow's input."""
    return bool(_find_references_of_rerun(flow, items, "input"))


def _find_inherited_arguments(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return the names of the recorded arguments (`input`, `variables`, `overrides`) that the rerun actually uses."""
    if not items:
        return []
    recorded, is_input_given = new_run.recorded, new_run.request.input is not NOT_GIVEN
    is_taken = {
        "input": recorded.input is not NOT_GIVEN and not is_input_given and needs_input(new_run.effective, items),
        "variables": bool(set(recorded.variables or ()) - new_run.new_variables.keys()),
        "overrides": any(step not in item.kept for item in items for step in recorded.overrides or ()),
    }
    return [name for name, taken in is_taken.items() if taken]


def _find_unrecorded_arguments(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return the names of the earlier run's arguments (`variables`, `overrides`) that we don't know but might need."""
    request, recorded = new_run.request, new_run.recorded
    is_unknown = request.variables is None and recorded.variables is None
    missing = ["variables"] if is_unknown and _find_references_of_rerun(new_run.effective, items, "variable") else []
    return missing + (["overrides"] if request.overrides is None and recorded.overrides is None else [])


def _find_steps_reading_changed_arguments(new_run: NewRun, index: int, *, cautious: bool = False) -> set[str]:
    """Return an item's steps that read a variable or a part of the input that has changed since they ran.

    Args:
        new_run: The run to create.
        index: The item's index in the earlier run.
        cautious: Whether to include steps whose earlier input or variables are unknown.
    """
    flow, recorded = new_run.effective, new_run.recorded
    after: dict[str, Any] = {} if new_run.inputs is None else {"input": new_run.inputs[index]}
    if new_run.new_variables or recorded.variables is not None:
        after["variables"] = {**_get_variable_defaults(flow), **recorded.hidden, **new_run.variables}
    changed = set[str]()
    for name, step in get_steps_by_id(flow).items():
        reads = {"input": _find_fields_read(step, "input"), "variables": _find_fields_read(step, "variable")}
        if not any(reads[what] for what in after):
            continue
        executed = _find_run_that_executed_step(new_run.earlier, index, name)
        if executed is None:
            if cautious:
                changed.add(name)
            continue
        entry, item = executed
        before: dict[str, Any] = {}
        inputs = entry.input if isinstance(entry.input, list) else [entry.input]
        if "input" not in entry.omitted and item < len(inputs):
            before["input"] = inputs[item]
        if "variables" not in entry.omitted:
            before["variables"] = _get_variable_defaults(entry.flow or {}) | dict(entry.variables or {})
        mark = get_hidden_mark(entry.flow)
        for what in after:
            if what not in before:
                if cautious and reads[what]:
                    changed.add(name)
                continue
            for root in reads[what]:
                # If the path doesn't start with a field name, compare the whole values.
                old, new = (
                    value.get(root) if isinstance(value, Mapping) and root is not None else value
                    for value in (before[what], after[what])
                )
                # Ignore secrets that the history masks, unless we're being cautious (the new value might be different).
                is_unknown = cautious and what == "input" and has_hidden_part(old, mark)
                if is_unknown or not may_equal_masked(old, new, mark):
                    changed.add(name)
    return changed


def _find_run_that_executed_step(earlier: EarlierRun, index: int, step: str) -> tuple[HistoryEntry, int] | None:
    """Return the recorded run that executed an item's step and the item's index in that run, or None if unknown.

    A rerun may have kept the step's output from an earlier run, which may itself have been a rerun that kept it.
    """
    run_id, seen = earlier.run_id, set[str]()
    while run_id not in seen:
        seen.add(run_id)
        entry = earlier.find_entry(run_id)
        if entry is None:
            return None
        if entry.rerun_of is None or step not in entry.kept:
            return entry, index
        if index >= len(entry.rerun_items):
            return None
        run_id, index = entry.rerun_of, entry.rerun_items[index]
    return None


def _find_fields_read(step: Mapping[str, Any], kind: str) -> set[str | None]:
    """Return the input fields or variables that a step reads. None stands for all of them."""
    paths = (parse_unambiguous_path(read.path) for read in find_references(step.get("input")) if read.kind == kind)
    return {path[0] if path and isinstance(path[0], str) else None for path in paths}


def _get_variable_defaults(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default values of a flow's variables."""
    declared = get_variable_declarations(flow)
    return {name: variable["default"] for name, variable in declared.items() if "default" in variable["value_schema"]}


INHERITED_ARGUMENTS = ("input", "variables", "overrides")
"""The arguments that a rerun inherits from the history by default."""
KEEP_BY_NAME: Mapping[str, Keep] = {
    "nothing": Keep("nothing"),
    "succeeded": Keep("completed", succeeded_items=True),
    "completed": Keep("completed"),
    "unchanged": Keep("unchanged"),
}
"""The meaning of each string that can be passed as `keep`."""


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """The arguments of `rerun`: which run to rerun, and how."""

    run_id: RunId
    keep: Keep = KEEP_BY_NAME["nothing"]
    input: Any = NOT_GIVEN
    variables: Variables | None = None
    overrides: Any = None
    flow: FlowSource | None = None
    force: bool = False
    items: Sequence[int] | None = None
    inherit: Collection[str] = INHERITED_ARGUMENTS
    max_concurrency: int | None = None
    variables_from_env: bool = False
    idempotency_key: str | None = None

    @classmethod
    def from_arguments(cls, run_id: RunId, keep: KeepOption = "nothing", **arguments: Any) -> Self:
        """Create a request from the arguments of `rerun`.

        Raises:
            InvalidArgumentError: If `keep` isn't a `Keep` or one of the strings in `KEEP_BY_NAME`.
        """
        if not isinstance(keep, Keep):
            if not isinstance(keep, str) or keep not in KEEP_BY_NAME:
                is_text = isinstance(keep, str)
                hint = f"to keep the steps before a step, pass keep=Keep(before={keep!r})" if is_text else None
                raise argument_error("keep", f"{', '.join(map(repr, KEEP_BY_NAME))} or a Keep", keep, hint)
            keep = KEEP_BY_NAME[keep]
        return cls(run_id, keep, **arguments)

    def __post_init__(self) -> None:
        """Check the arguments, rejecting combinations that conflict."""
        for text in check_texts(self.inherit, "inherit"):
            check_choice(text, "inherit", INHERITED_ARGUMENTS)
        if self.idempotency_key is not None:
            check_key(self.idempotency_key)
        check_flags(force=self.force, variables_from_env=self.variables_from_env)
        if self.force and self.keep.steps == "unchanged":
            raise InvalidArgumentError("force keeps steps that have changed, and keep='unchanged' executes them")
        if self.force and self.keep.all_except is not None:
            raise InvalidArgumentError("force has no effect with Keep(all_except=...), which executes only one step")
        for index in () if self.items is None else check_instances(self.items, "items", int):
            check_integer(index, "items", least=0)


class EarlierRun(NamedTuple):
    """The run being rerun."""

    run_id: str
    flow: Mapping[str, Any]
    """The server's copy of the flow, without the client's additions, or the recorded flow."""
    find_entry: Callable[[str], HistoryEntry | None]
    """Looks up a run in the history."""
    outputs: Sequence[Mapping[str, Any]]
    """Each item's step outputs that are known without `steps`: for a run from the history, all of them. Otherwise, only
    the outputs that the run itself kept, since servers only list a kept step if an executed step reads it."""
    results: Sequence[FlowResult] | None = None
    """The items' results, or None if the server doesn't have the run."""
    steps: Sequence[StepDetails] = ()
    """The run's steps. Empty if not loaded."""


class NewRun(NamedTuple):
    """The run to create."""

    request: RerunRequest
    earlier: EarlierRun
    recorded: RecordedArguments
    """The recorded arguments that the new run inherits."""
    flow: Mapping[str, Any]
    new_variables: dict[str, Any]
    """The variables passed in the request."""
    variables: dict[str, Any]
    """The recorded variables, updated with the variables from the request."""
    overrides: Any
    """The recorded overrides plus any from the request, including overrides for kept steps."""
    inputs: Mapping[int, Any] | None
    """Each item's input, by index, or None if unknown."""
    effective: Mapping[str, Any]
    """The flow with overrides applied."""
    source: Any
    """The flow as passed by the caller, or its recorded file. None when running a single step."""
    changed: Set[str]
    """The steps that are new or whose definitions differ from the earlier run."""


def build_new_run(request: RerunRequest, earlier: EarlierRun, new: Mapping[str, Any] | None) -> NewRun:
    """Combine a request with the earlier run and return the run to create.

    Args:
        request: The request.
        earlier: The run being rerun.
        new: The flow to run instead of the earlier run's, or None.

    Raises:
        InvalidArgumentError: If the flow lacks a requested step or variable, or the input doesn't fit the run.
    """
    before, alone = request.keep.before, request.keep.all_except
    flow, written, entry = earlier.flow if new is None else new, earlier.flow, earlier.find_entry(earlier.run_id)
    for step in (before, alone):
        if step is not None:
            check_step_exists(flow, step)
    if new is not None and entry is not None and isinstance(entry.flow, Mapping) and not is_flow_masked(entry.flow):
        # Compare against the flow as its author wrote it.
        written = entry.flow
    recorded = read_recorded_arguments(entry, flow)
    old = apply_overrides_if_valid(written, recorded.overrides)
    # Treat variables and overrides that aren't inherited as empty, not unknown.
    if "input" not in request.inherit:
        recorded = recorded._replace(input=NOT_GIVEN)
    if "variables" not in request.inherit:
        recorded = recorded._replace(variables={}, hidden={})
    if "overrides" not in request.inherit:
        recorded = recorded._replace(overrides={})
    changes = request.overrides if isinstance(request.overrides, (list, tuple)) else [request.overrides]
    overrides: Any = [change for change in (recorded.overrides, *changes) if change] or None
    new_variables = call_checks.parse_run_variables(request.variables)
    check_variables(flow, new_variables, [unify_overrides(request.overrides), recorded.overrides])
    if alone is not None:
        flow, overrides = cut_flow_to_step(flow, alone, overrides)
        flow["steps"] = [{key: step[key] for key in step if key != "mustExecute"} for step in flow["steps"]]
    effective = apply_overrides_if_valid(flow, overrides)
    return NewRun(
        request=request,
        earlier=earlier,
        recorded=recorded,
        flow=flow,
        new_variables=new_variables,
        variables={**(recorded.variables or {}), **new_variables},
        overrides=overrides,
        inputs=_select_inputs(earlier, request, recorded),
        effective=effective,
        source=None if alone is not None else recorded.flow_file if request.flow is None else request.flow,
        changed=_find_changed_steps(old, effective),
    )


def _select_inputs(earlier: EarlierRun, request: RerunRequest, recorded: RecordedArguments) -> dict[int, Any] | None:
    """Return the input of each item to rerun, by index, or None if the inputs are unknown.

    Raises:
        InvalidArgumentError: If the input isn't a list with one input per item.
    """
    total, input, chosen = len(earlier.outputs), request.input, request.items
    if total > 1 and chosen is not None and input is not NOT_GIVEN:
        inputs = list(input) if isinstance(input, (list, tuple)) else [input]
        if len(inputs) == len(chosen):
            return dict(zip(chosen, inputs, strict=True))
    input = recorded.input if input is NOT_GIVEN else input
    if input is NOT_GIVEN:
        return None
    listed = input if isinstance(input, (list, tuple)) else [input]
    if len(listed) != total:
        message = f"the input is a batch of {len(listed)}, but run {earlier.run_id} has {total} item{'s' * (total > 1)}"
        raise InvalidArgumentError(message, hint="pass a list with an input for each item: [INPUT, ...]")
    return dict(enumerate(listed))


def _select_kept_outputs(new_run: NewRun, index: int, steps: Sequence[StepDetails]) -> dict[str, Any]:
    """Return the outputs to keep for an item, by step ID.

    A completed step is kept unless it must execute again or it depends, even indirectly, on a step that must execute
    again or that never completed. If a step is executed on its own, only the steps that it reads are kept.

    Args:
        new_run: The run to create.
        index: The item's index in the earlier run.
        steps: The item's steps in the earlier run.

    Raises:
        InvalidArgumentError: If a step is to be executed on its own but reads a step whose output is unknown.
    """
    flow, earlier, keep = new_run.effective, new_run.earlier, new_run.request.keep
    known, defined = earlier.outputs[index], get_steps_by_id(flow)
    if keep.all_except is not None:
        outputs = {**known, **{step.step_id: step.output for step in steps if step.status.value == "completed"}}
        reads = [name for name in defined if name in FlowSteps(flow).dependencies_by_step[keep.all_except]]
        for name in reads:
            if name not in outputs:
                raise InvalidArgumentError(
                    f"step {keep.all_except!r} reads step {name!r}, for which run {earlier.run_id} has no output",
                    run_id=earlier.run_id,
                    hint=f"use a run that executes {name!r} too, or pass an input for the step",
                )
        return {name: outputs[name] for name in reads}
    again = {step.step_id for step in steps if step.status.value != "completed"}
    if keep.before is not None:
        again.add(keep.before)
    if keep.steps == "unchanged":
        again |= new_run.changed | _find_steps_reading_changed_arguments(new_run, index, cautious=True)
    dependent = FlowSteps(flow).find_downstream_steps(again)
    outputs = {**known, **{step.step_id: step.output for step in steps}}
    return {step: output for step, output in outputs.items() if step in defined and step not in dependent}


def _find_kept_outdated_steps(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return the kept steps whose outputs would differ if the whole flow ran again."""
    outdated = set[str]()
    for item in items:
        changed = new_run.changed | _find_steps_reading_changed_arguments(new_run, item.index)
        outdated |= FlowSteps(new_run.effective).find_downstream_steps(changed) & item.kept.keys()
    return [step for step in get_steps_by_id(new_run.flow) if step in outdated]


def make_rerun_plan(new_run: NewRun, server: Server) -> RerunPlan:
    """Decide which items and steps to execute and which outputs to keep.

    Raises:
        InvalidArgumentError: If the run doesn't have a requested item, a kept output could be stale, or a secret is
            missing.
        UnsupportedByServerError: If outputs must be kept but the server doesn't return them.
    """
    request, earlier, flow = new_run.request, new_run.earlier, new_run.effective
    total, results = len(earlier.outputs), earlier.results
    indexes = list(range(total)) if request.items is None else sorted(set(request.items))
    if indexes and indexes[-1] >= total:
        message = f"run {earlier.run_id} has no item {indexes[-1]}"
        raise InvalidArgumentError(message, hint=f"it has {total}, counted from 0")
    if request.keep.succeeded_items and results is not None:
        indexes = [index for index in indexes if not results[index].is_success]
    keeps_outputs = request.keep.steps != "nothing"
    if results is not None and keeps_outputs and request.keep != KEEP_BY_NAME["succeeded"]:
        require_capability(server, "step_outputs", "keeping the outputs of steps")
    keeps_outputs = keeps_outputs and (results is None or server.capabilities["step_outputs"])
    steps: dict[int, list[StepDetails]] = {}
    for step in earlier.steps:
        steps.setdefault(step.item_index, []).append(step)
    items = []
    for index in indexes:
        kept = _select_kept_outputs(new_run, index, steps.get(index, ())) if keeps_outputs else {}
        # The inputs of kept steps aren't evaluated, so a step that's only read by kept steps isn't executed.
        needed = FlowSteps(flow).find_steps_to_run(unread=kept) - kept.keys()
        items.append(RerunItem(index, kept, [name for name in get_steps_by_id(flow) if name in needed]))
    if not (request.force or request.keep.all_except is not None):
        _reject_stale_kept_steps(new_run, items)
    if not request.variables_from_env:
        _require_secret_variables(new_run, items)
    return RerunPlan(
        run_id=earlier.run_id,
        flow=new_run.flow,
        items=items,
        total=total,
        unknown=_find_unrecorded_arguments(new_run, items),
        recorded=_find_inherited_arguments(new_run, items),
        outdated=_find_kept_outdated_steps(new_run, items),
    )
