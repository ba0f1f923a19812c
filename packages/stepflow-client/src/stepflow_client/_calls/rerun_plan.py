"""Decides which steps a rerun executes and which it keeps from the earlier run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .._base.not_given import NOT_GIVEN
from .._codec import requests
from .._codec.idempotency_markers import check_key
from .._codec.requests import Variables
from .._data.arguments import argument_error, check_choice, check_flags, check_instances, check_integer, check_texts
from .._data.flow_declarations import collect_declared_variables
from .._data.secrets import HIDDEN, get_hidden_mark, is_hidden
from .._data.values import merge_overrides
from .._runs.stored_flow import RerunOrigin
from ..errors import InvalidArgumentError
from ..flows.expressions import Reference, find_references, parse_portable_path
from ..flows.graph import FlowSteps, cut_flow, get_steps_by_id, require_step
from ..flows.interpreter import apply_valid_overrides
from ..flows.matching import is_json_equal, may_equal_masked
from ..flows.run_requirements import check_variables
from ..types.reruns import Keep

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..flows.reading import FlowSource
    from ..types import FlowResult, StepDetails
    from ..types.reruns import KeepOption, RerunItem
    from ..types.runs import HistoryEntry

_FORCE = "to keep it anyway, set force; to execute it, start from an earlier step"


@dataclass(frozen=True, slots=True)
class RecordedArguments:
    """The earlier run's arguments, as recorded in the history."""

    has_input: bool = False
    input: Any = None
    variables: Mapping[str, Any] | None = None
    """The variables, or None if unknown."""
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """Variables masked in the history because they contain secrets. The real values aren't stored anywhere."""
    overrides: Mapping[str, Any] | None = None
    """The overrides, or None if unknown."""
    flow_file: str | None = None
    """The path of the flow's file."""

    def select_inherited(self, inherit: Collection[str]) -> RecordedArguments:
        """Return only the inherited arguments. Variables and overrides that aren't inherited count as empty, not
        unknown."""
        return RecordedArguments(
            has_input=self.has_input and "input" in inherit,
            input=self.input,
            variables=self.variables if "variables" in inherit else {},
            hidden=self.hidden if "variables" in inherit else {},
            overrides=self.overrides if "overrides" in inherit else {},
            flow_file=self.flow_file,
        )


def read_recorded_arguments(entry: HistoryEntry | None, flow: Mapping[str, Any]) -> RecordedArguments:
    """Return a recorded run's reusable arguments, without overrides for steps missing from the flow.

    Values that contain secrets can't be reused, because the history hides them.
    """
    if entry is None:
        return RecordedArguments()
    mark = get_hidden_mark(entry.flow)
    variables = entry.variables or {}
    hidden = {name: value for name, value in variables.items() if is_hidden(value, mark)}
    visible = {name: value for name, value in variables.items() if name not in hidden}
    steps = get_steps_by_id(flow)
    overrides = {step: change for step, change in (merge_overrides(entry.overrides) or {}).items() if step in steps}
    return RecordedArguments(
        has_input="input" not in entry.omitted and not is_hidden(entry.input, mark),
        input=entry.input,
        variables=None if "variables" in entry.omitted else visible,
        hidden=hidden,
        overrides=None if "overrides" in entry.omitted or is_hidden(overrides, mark) else overrides,
        flow_file=entry.flow_file,
    )


def has_hidden_secrets(flow: Mapping[str, Any]) -> bool:
    """Return whether parts of a recorded flow are hidden."""
    return is_hidden(flow, get_hidden_mark(flow))


def check_recorded_variables(new_run: NewRun, items: Sequence[RerunItem]) -> None:
    """Check that every secret variable read by an executed step or the output is passed again.

    Raises:
        InvalidArgumentError: If one is missing.
    """
    read = {reference.variable for reference in _find_references(new_run.effective, items, "variable")}
    missing = sorted((new_run.earlier.recorded.hidden.keys() & read) - new_run.new_variables.keys())
    if missing:
        names = ", ".join(map(repr, missing))
        raise InvalidArgumentError(
            f"the executed steps read the secret variable {names}, whose value is not in the history",
            hint="pass it again, or take variables from the environment",
        )


def check_item_indexes(items: Any) -> None:
    """Check the indexes of the items to rerun.

    Raises:
        InvalidArgumentError: If any isn't a non-negative integer.
    """
    for index in () if items is None else check_instances(items, "items", int):
        check_integer(index, "items", least=0)


def resolve_item_indexes(items: Iterable[int] | None, total: int, run_id: str) -> list[int]:
    """Return the chosen item indexes in order, or all of them if `items` is None.

    Raises:
        InvalidArgumentError: If the run has no such item.
    """
    chosen = list(range(total)) if items is None else sorted(set(items))
    if chosen and chosen[-1] >= total:
        raise InvalidArgumentError(f"run {run_id} has no item {chosen[-1]}", hint=f"it has {total}, counted from 0")
    return chosen


def find_executed_steps(flow: Mapping[str, Any], kept: Collection[str]) -> list[str]:
    """Return the executed steps, in flow order.

    Inputs of kept steps aren't evaluated, so a step read only by kept steps doesn't execute.
    """
    needed = FlowSteps(flow).find_steps_to_run(unread=kept)
    return [step for step in get_steps_by_id(flow) if step in needed and step not in kept]


def check_kept_steps(new_run: NewRun, items: Sequence[RerunItem]) -> None:
    """Check that no kept output could be stale.

    Raises:
        InvalidArgumentError: If a kept step, or a step it reads, has changed in the flow or is overridden.
    """
    kept = {step for item in items for step in item.kept}
    changed, overridden = new_run.changed, merge_overrides(new_run.request.overrides) or {}
    for step in get_steps_by_id(new_run.effective):
        if step in kept & changed & overridden.keys():
            raise InvalidArgumentError(f"step {step!r} is kept, so its override would have no effect", hint=_FORCE)
        if step in kept & changed:
            raise InvalidArgumentError(f"step {step!r} is kept, but its definition has changed", hint=_FORCE)
    dependent = FlowSteps(new_run.effective).find_downstream_steps(changed)
    stale = next((step for step in get_steps_by_id(new_run.effective) if step in kept & dependent), None)
    if stale is not None:
        raise InvalidArgumentError(f"step {stale!r} is kept, but reads a step that has changed", hint=_FORCE)


def find_changed_steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the steps that are new or defined differently compared to an older version of the flow."""
    before = get_steps_by_id(old)
    return {
        name
        for name, step in get_steps_by_id(new).items()
        if name not in before or not is_json_equal(_get_definition(before[name]), _get_definition(step))
    }


def _get_definition(step: Mapping[str, Any]) -> list[Any]:
    """Return the parts of a step that determine its output."""
    on_error = step.get("onError") or {"action": "fail"}
    return [step.get("component"), step.get("input"), {k: v for k, v in on_error.items() if v is not None}]


def drop_kept_overrides(overrides: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides except those for kept steps."""
    return {step: change for step, change in (merge_overrides(overrides) or {}).items() if step not in kept}


def _find_references(flow: Mapping[str, Any], items: Sequence[RerunItem], kind: str) -> list[Reference]:
    steps = get_steps_by_id(flow)
    executed = {step for item in items for step in item.executed}
    inputs = [steps[step].get("input") for step in executed if step in steps]
    return [reference for reference in find_references([*inputs, flow.get("output")]) if reference.kind == kind]


def needs_input(flow: Mapping[str, Any], items: Sequence[RerunItem]) -> bool:
    """Return whether an executed step or the output may read the flow's input."""
    return bool(_find_references(flow, items, "input"))


def find_inherited_arguments(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return which recorded arguments (`input`, `variables`, `overrides`) the rerun actually uses."""
    if not items:
        return []
    recorded, is_input_given = new_run.earlier.recorded, new_run.request.input is not NOT_GIVEN
    is_taken = {
        "input": recorded.has_input and not is_input_given and needs_input(new_run.effective, items),
        "variables": bool(set(recorded.variables or ()) - new_run.new_variables.keys()),
        "overrides": any(step not in item.kept for item in items for step in recorded.overrides or ()),
    }
    return [name for name, taken in is_taken.items() if taken]


def find_unknown_arguments(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return which of the earlier run's arguments (`variables`, `overrides`) are unknown but may affect the rerun."""
    request, recorded = new_run.request, new_run.earlier.recorded
    is_unknown = request.variables is None and recorded.variables is None
    missing = ["variables"] if is_unknown and _find_references(new_run.effective, items, "variable") else []
    return missing + (["overrides"] if request.overrides is None and recorded.overrides is None else [])


def _find_steps_reading_changes(new_run: NewRun, index: int, *, cautious: bool = False) -> set[str]:
    """Return an item's steps for which part of the input, or a variable, has changed since they ran.

    Args:
        new_run: The run to create.
        index: The item's index in the earlier run.
        cautious: Whether to include steps whose earlier input or variables are unknown.
    """
    flow, recorded = new_run.effective, new_run.earlier.recorded
    after: dict[str, Any] = {} if new_run.inputs is None else {"input": new_run.inputs[index]}
    if new_run.new_variables or recorded.variables is not None:
        after["variables"] = {**_get_variable_defaults(flow), **recorded.hidden, **new_run.variables}
    changed = set()
    for name, step in get_steps_by_id(flow).items():
        reads = {"input": _find_read_fields(step, "input"), "variables": _find_read_fields(step, "variable")}
        if not any(reads[what] for what in after):
            continue
        executed = new_run.earlier.source(index, name)
        if executed is None and not cautious:
            continue
        before: dict[str, Any] = {}
        mark = HIDDEN
        if executed is not None:
            entry, item = executed
            mark = get_hidden_mark(entry.flow)
            inputs = entry.input if isinstance(entry.input, list) else [entry.input]
            if "input" not in entry.omitted and item < len(inputs):
                before["input"] = inputs[item]
            if "variables" not in entry.omitted:
                before["variables"] = _get_variable_defaults(entry.flow or {}) | dict(entry.variables or {})
        if _has_changed_read(before, after, reads, mark, cautious=cautious):
            changed.add(name)
    return changed


def find_executing_run(
    recorded: Callable[[str], HistoryEntry | None], run_id: str, index: int, step: str
) -> tuple[HistoryEntry, int] | None:
    """Return the recorded run that executed an item's step, and the item's index in it, or None if unknown.

    A rerun may have kept the step's output from an earlier run, which may itself be a rerun that kept it.
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


def _find_read_fields(step: Mapping[str, Any], kind: str) -> set[str | None]:
    """Return the input fields or variables a step reads. None stands for all of them."""
    paths = (parse_portable_path(read.path) for read in find_references(step.get("input")) if read.kind == kind)
    return {path[0] if path and isinstance(path[0], str) else None for path in paths}


def _get_variable_defaults(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default values of a flow's variables."""
    declared = collect_declared_variables(flow)
    return {name: variable["default"] for name, variable in declared.items() if "default" in variable["value_schema"]}


def _has_changed_read(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reads: Mapping[str, set[str | None]],
    mark: str,
    *,
    cautious: bool,
) -> bool:
    """Return whether anything the step reads has changed, ignoring secrets masked in the history.

    With `cautious`, an input with masked secrets counts as changed.
    """
    for what in after:
        if what not in before and reads[what] and cautious:
            return True
        for root in reads[what] if what in before else ():
            # Compare whole values if the path doesn't start with a field name.
            old, new = (
                value.get(root) if isinstance(value, Mapping) and root is not None else value
                for value in (before[what], after[what])
            )
            # Be cautious: the recorded secret is hidden, so the new one may be different.
            is_unknown = cautious and what == "input" and is_hidden(old, mark)
            if is_unknown or not may_equal_masked(old, new, mark):
                return True
    return False


INHERITED = ("input", "variables", "overrides")
"""The arguments a rerun inherits from the history by default."""
KEEPS: Mapping[str, Keep] = {
    "nothing": Keep("nothing"),
    "succeeded": Keep("completed", succeeded_items=True),
    "completed": Keep("completed"),
    "unchanged": Keep("unchanged"),
}
"""The meaning of each string that can be passed as `keep`."""


def parse_keep(option: KeepOption) -> Keep:
    """Convert the `keep` option to a `Keep`.

    Raises:
        InvalidArgumentError: If it isn't a `Keep` or one of the strings in `KEEPS`.
    """
    if isinstance(option, Keep):
        return option
    hint = None
    if isinstance(option, str):
        if option in KEEPS:
            return KEEPS[option]
        hint = f"to keep the steps before a step, pass keep=Keep(before={option!r})"
    raise argument_error("keep", f"{', '.join(map(repr, KEEPS))} or a Keep", option, hint)


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """The arguments of `rerun`: the run to rerun, and how."""

    run_id: RunId
    keep: Keep = KEEPS["nothing"]
    input: Any = NOT_GIVEN
    variables: Variables | None = None
    overrides: Any = None
    flow: FlowSource | None = None
    force: bool = False
    items: Sequence[int] | None = None
    inherit: Collection[str] = INHERITED
    max_concurrency: int | None = None
    variables_from_env: bool = False
    idempotency_key: str | None = None

    @classmethod
    def from_arguments(cls, run_id: RunId, keep: KeepOption = "nothing", **arguments: Any) -> Self:
        """Create a request from the arguments of `rerun`."""
        return cls(run_id, parse_keep(keep), **arguments)

    def __post_init__(self) -> None:
        """Check the flags, and reject contradictory combinations."""
        for text in check_texts(self.inherit, "inherit"):
            check_choice(text, "inherit", INHERITED)
        if self.idempotency_key is not None:
            check_key(self.idempotency_key)
        check_flags(force=self.force, variables_from_env=self.variables_from_env)
        if self.force and self.keep.steps == "unchanged":
            raise InvalidArgumentError("force keeps steps that have changed, and keep='unchanged' executes them")
        if self.force and self.keep.all_except is not None:
            raise InvalidArgumentError("force has no effect with Keep(all_except=...), which executes only one step")

    @property
    def covers_all_items(self) -> bool:
        """Whether all items are rerun, so none of the earlier results carry over."""
        return not self.keep.succeeded_items and self.items is None

    @property
    def keeps_outputs(self) -> bool:
        """Whether to keep any step outputs."""
        return self.keep.steps != "nothing"

    @property
    def needs_outputs(self) -> bool:
        """Whether the rerun can't work without the earlier step outputs."""
        return self.keeps_outputs and self.keep != KEEPS["succeeded"]


class EarlierRun(NamedTuple):
    """The run being rerun."""

    run_id: str
    flow: Mapping[str, Any]
    """The server's copy of the flow, without the client's additions."""
    written: Mapping[str, Any]
    """The flow as its author wrote it, if the history has it."""
    origin: RerunOrigin | None
    """If the run is itself a rerun, what it kept and from which run."""
    total: int
    """The number of items."""
    results: Sequence[FlowResult]
    """The items' results. Empty if the server doesn't have the run."""
    recorded: RecordedArguments
    source: Callable[[int, str], tuple[HistoryEntry, int] | None]
    """Looks up the recorded run that executed an item's step, and the item's index in that run."""
    steps: Sequence[StepDetails] = ()
    """The run's steps. Empty if not loaded."""
    outputs: Sequence[Mapping[str, Any]] | None = None
    """Each item's step outputs, if the history has them."""


class NewRun(NamedTuple):
    """The run to create."""

    request: RerunRequest
    earlier: EarlierRun
    flow: Mapping[str, Any]
    new_variables: dict[str, Any]
    """The variables passed in the request."""
    variables: dict[str, Any]
    """The recorded variables, updated with those from the request."""
    overrides: Any
    """The recorded overrides plus those from the request, including overrides for kept steps."""
    inputs: Mapping[int, Any] | None
    """Each item's input, by index, or None if unknown."""
    effective: Mapping[str, Any]
    """The flow with overrides applied."""
    source: Any
    """The flow as passed by the caller, or its recorded file. None when running a single step."""
    changed: Set[str] = frozenset()
    """Steps that have changed since the earlier run."""


def plan_new_run(request: RerunRequest, earlier: EarlierRun, flow: Mapping[str, Any]) -> NewRun:
    """Plan the run to create.

    Raises:
        InvalidArgumentError: If the flow lacks a requested step or variable, or the input doesn't fit the run.
    """
    before, alone = request.keep.before, request.keep.all_except
    for step in (before, alone):
        if step is not None:
            require_step(flow, step)
    recorded = earlier.recorded
    changes = request.overrides if isinstance(request.overrides, (list, tuple)) else [request.overrides]
    overrides: Any = [change for change in (recorded.overrides, *changes) if change] or None
    new_variables = requests.parse_run_variables(request.variables)
    check_variables(flow, new_variables, [merge_overrides(request.overrides), recorded.overrides])
    if alone is not None:
        flow, overrides = cut_flow(flow, alone, overrides)
        flow["steps"] = [{key: step[key] for key in step if key != "mustExecute"} for step in flow["steps"]]
    return NewRun(
        request=request,
        earlier=earlier,
        flow=flow,
        new_variables=new_variables,
        variables={**(recorded.variables or {}), **new_variables},
        overrides=overrides,
        inputs=_select_inputs(earlier, request),
        effective=apply_valid_overrides(flow, overrides),
        source=None if alone is not None else recorded.flow_file if request.flow is None else request.flow,
    )


def _select_inputs(earlier: EarlierRun, request: RerunRequest) -> dict[int, Any] | None:
    """Return the input for each item to rerun, by index, or None if unknown.

    Raises:
        InvalidArgumentError: If the input isn't a list with one input per item.
    """
    total, input, chosen = earlier.total, request.input, request.items
    if total > 1 and chosen is not None and input is not NOT_GIVEN:
        inputs = list(input) if isinstance(input, (list, tuple)) else [input]
        if len(inputs) == len(chosen):
            return dict(zip(chosen, inputs, strict=True))
    if input is NOT_GIVEN and earlier.recorded.has_input:
        input = earlier.recorded.input
    if input is NOT_GIVEN:
        return None
    if total == 1:
        requests.require_single_input(input)
        return {0: input[0] if isinstance(input, (list, tuple)) else input}
    if not isinstance(input, (list, tuple)) or len(input) != total:
        raise InvalidArgumentError(
            f"run {earlier.run_id} is a batch of {total} items: input must be the list of all their inputs "
            "(with items, of those items' inputs)"
        )
    return dict(enumerate(input))


def select_kept_outputs(new_run: NewRun, index: int, steps: Sequence[StepDetails]) -> dict[str, Any]:
    """Return the outputs to keep for an item, by step ID.

    Completed steps are kept unless they must execute again, or depend (even indirectly) on a step that must or that
    never completed. When a step runs alone, only the steps it reads are kept.

    Args:
        new_run: The run to create.
        index: The item's index in the earlier run.
        steps: The item's steps in the earlier run.

    Raises:
        InvalidArgumentError: If a step is to run alone but reads a step whose output is unknown.
    """
    flow, earlier, keep = new_run.effective, new_run.earlier, new_run.request.keep
    # Add the outputs the earlier run itself kept: servers don't list a kept step unless an executed step reads it.
    pinned: Mapping[str, Any] = {} if earlier.origin is None else earlier.origin.kept
    if earlier.outputs is not None:
        pinned = earlier.outputs[index]
    defined = get_steps_by_id(flow)
    if keep.all_except is not None:
        outputs = {**pinned, **{step.step_id: step.output for step in steps if step.status.value == "completed"}}
        reads = [name for name in defined if name in FlowSteps(flow).reads_by_step[keep.all_except]]
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
        again |= new_run.changed | _find_steps_reading_changes(new_run, index, cautious=True)
    dependent = FlowSteps(flow).find_downstream_steps(again)
    outputs = {**pinned, **{step.step_id: step.output for step in steps}}
    return {step: output for step, output in outputs.items() if step in defined and step not in dependent}


def find_outdated_steps(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return the kept steps whose outputs would differ if the whole flow ran again."""
    outdated = set[str]()
    for item in items:
        changed = new_run.changed | _find_steps_reading_changes(new_run, item.index)
        outdated |= FlowSteps(new_run.effective).find_downstream_steps(changed) & item.kept.keys()
    return [step for step in get_steps_by_id(new_run.flow) if step in outdated]
