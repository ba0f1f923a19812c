"""Decides what a rerun executes, and what it keeps of the earlier run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .._base.not_given import NOT_GIVEN
from .._codec import requests
from .._codec.idempotency_markers import check_key
from .._codec.requests import Variables
from .._data.arguments import check_choice, check_flags, check_texts, wrong
from .._data.values import merge_overrides
from .._runs import kept_steps as rules
from .._runs.client_metadata import Origin
from ..errors import InvalidArgumentError
from ..flows.graph import steps_behind, steps_by_id
from ..flows.interpreter import flow_with
from ..flows.needs import check_variables
from ..flows.partial_flow import cut_flow, require_step
from ..types.reruns import Keep

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..flows.flow_argument import FlowSource
    from ..types import FlowResult, StepDetails
    from ..types.history_entry import HistoryEntry
    from ..types.reruns import KeepOption, RerunItem


INHERITED = ("input", "variables", "overrides")
"""The arguments that a rerun takes from the history by default."""
KEEPS: Mapping[str, Keep] = {
    "nothing": Keep("nothing"),
    "succeeded": Keep("completed", succeeded_items=True),
    "completed": Keep("completed"),
    "unchanged": Keep("unchanged"),
}
"""What `keep` means if it is a word."""


def parse_keep(option: KeepOption) -> Keep:
    """Return what a rerun keeps.

    Raises:
        InvalidArgumentError: If it is neither one of the words nor a `Keep`.
    """
    if isinstance(option, Keep):
        return option
    hint = None
    if isinstance(option, str):
        if option in KEEPS:
            return KEEPS[option]
        hint = f"to keep the steps before a step, pass keep=Keep(before={option!r})"
    raise wrong("keep", f"{', '.join(map(repr, KEEPS))} or a Keep", option, hint)


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """The arguments of `rerun`: which run to run again, and how."""

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
        """Return a request with the arguments of `rerun`."""
        return cls(run_id, parse_keep(keep), **arguments)

    def __post_init__(self) -> None:
        """Check the flags, and that they do not exclude each other."""
        for text in check_texts(self.inherit, "inherit"):
            check_choice(text, "inherit", INHERITED)
        if self.idempotency_key is not None:
            check_key(self.idempotency_key)
        check_flags(force=self.force, variables_from_env=self.variables_from_env)
        if self.force and self.keep.steps == "unchanged":
            raise InvalidArgumentError("force keeps steps that have changed, and keep='unchanged' executes them")
        if self.force and self.keep.all_except is not None:
            raise InvalidArgumentError("force has no effect with Keep(all_except=...), which executes one step alone")

    @property
    def covers_all_items(self) -> bool:
        """Whether all items are run again, so that no result of the earlier run is one of the rerun."""
        return not self.keep.succeeded_items and self.items is None

    @property
    def keeps_outputs(self) -> bool:
        """Whether outputs of steps are to be kept."""
        return self.keep.steps != "nothing"

    @property
    def needs_outputs(self) -> bool:
        """Whether the rerun is impossible without the outputs of the earlier steps."""
        return self.keeps_outputs and self.keep != KEEPS["succeeded"]


class EarlierRun(NamedTuple):
    """The earlier run."""

    run_id: str
    flow: Mapping[str, Any]
    """Its flow, as the server has it, without what the client added."""
    written: Mapping[str, Any]
    """Its flow, as its author wrote it, if the history has it."""
    origin: Origin | None
    """What it kept of a run before it, if it is a rerun."""
    total: int
    """Number of its items."""
    results: Sequence[FlowResult]
    """Their results; none if the server does not have the run."""
    recorded: rules.RecordedArguments
    source: Callable[[int, str], tuple[HistoryEntry, int] | None]
    """Returns the recorded run that executed a step of an item, and the index of the item in that run."""
    steps: Sequence[StepDetails] = ()
    """Its steps; empty if they were not read."""
    outputs: Sequence[Mapping[str, Any]] | None = None
    """The outputs of the steps of each item, if they are known from the history."""


class NewRun(NamedTuple):
    """The run to create."""

    request: RerunRequest
    earlier: EarlierRun
    flow: Mapping[str, Any]
    given: dict[str, Any]
    """The variables that were given."""
    variables: dict[str, Any]
    """The recorded variables and the given ones."""
    overrides: Any
    """The recorded overrides and the given ones, including those of kept steps."""
    inputs: Mapping[int, Any] | None
    """The input of each item, by index; None if it is unknown."""
    effective: Mapping[str, Any]
    """The flow with the overrides."""
    max_concurrency: int | None
    source: Any
    """The flow as the caller gave it, or its recorded file; None for one step of a flow."""
    changed: Set[str] = frozenset()
    """The steps that have changed since the earlier run."""


def plan_new_run(request: RerunRequest, earlier: EarlierRun, flow: Mapping[str, Any]) -> NewRun:
    """Return the run to create.

    Raises:
        InvalidArgumentError: If the flow has no such step or variable, or the input is not that of the run.
    """
    before, alone = request.keep.before, request.keep.all_except
    for step in (before, alone):
        if step is not None:
            require_step(flow, step)
    recorded = earlier.recorded
    changes = request.overrides if isinstance(request.overrides, (list, tuple)) else [request.overrides]
    overrides: Any = [each for each in (recorded.overrides, *changes) if each] or None
    given = requests.run_variables(request.variables)
    check_variables(flow, given, [merge_overrides(request.overrides), recorded.overrides])
    if alone is not None:
        flow, overrides = cut_flow(flow, alone, overrides)
        flow["steps"] = [{key: each[key] for key in each if key != "mustExecute"} for each in flow["steps"]]
    return NewRun(
        request=request,
        earlier=earlier,
        flow=flow,
        given=given,
        variables={**(recorded.variables or {}), **given},
        overrides=overrides,
        inputs=_select_inputs(earlier, request),
        effective=flow_with(flow, overrides),
        max_concurrency=request.max_concurrency,
        source=None if alone is not None else recorded.flow_file if request.flow is None else request.flow,
    )


def _select_inputs(earlier: EarlierRun, request: RerunRequest) -> dict[int, Any] | None:
    """Return the input of each item that is run again, by index; None if it is unknown.

    Raises:
        InvalidArgumentError: If the input is not a list of one input per item.
    """
    total, given, chosen = earlier.total, request.input, request.items
    if total > 1 and chosen is not None and given is not NOT_GIVEN:
        inputs = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(inputs) == len(chosen):
            return dict(zip(chosen, inputs, strict=True))
    if given is NOT_GIVEN and earlier.recorded.has_input:
        given = earlier.recorded.input
    if given is NOT_GIVEN:
        return None
    if total == 1:
        requests.require_single_input(given)
        return {0: given[0] if isinstance(given, (list, tuple)) else given}
    if not isinstance(given, (list, tuple)) or len(given) != total:
        raise InvalidArgumentError(
            f"run {earlier.run_id} is a batch of {total} items: input is the list of all their inputs, "
            "or with items the list of theirs"
        )
    return dict(enumerate(given))


def select_kept_outputs(new_run: NewRun, index: int, steps: Sequence[StepDetails]) -> dict[str, Any]:
    """Return the outputs of the steps of an item that are kept, by step id.

    Raises:
        InvalidArgumentError: If one step is to run alone, and the output of a step that it reads is unknown.
    """
    request, earlier = new_run.request, new_run.earlier
    pinned: Mapping[str, Any] = {} if earlier.origin is None else earlier.origin.kept
    if earlier.outputs is not None:
        pinned = earlier.outputs[index]
    keep = request.keep
    if keep.all_except is not None:
        return rules.collect_read_outputs(new_run.effective, keep.all_except, steps, pinned, earlier.run_id)
    again = set() if keep.before is None else {keep.before}
    if keep.steps == "unchanged":
        again |= new_run.changed | _find_steps_reading_changes(new_run, index, cautious=True)
    return rules.collect_kept_outputs(new_run.effective, steps, pinned, again)


def _find_steps_reading_changes(new_run: NewRun, index: int, *, cautious: bool = False) -> set[str]:
    """Return the steps of an item that read another input, or other variables, than when they were executed."""
    earlier = new_run.earlier
    after: dict[str, Any] = {} if new_run.inputs is None else {"input": new_run.inputs[index]}
    if new_run.given or earlier.recorded.variables is not None:
        after["variables"] = {**earlier.recorded.hidden, **new_run.variables}
    return rules.find_steps_reading_changes(new_run.effective, index, after, earlier.source, cautious=cautious)


def find_outdated_steps(new_run: NewRun, items: Sequence[RerunItem]) -> list[str]:
    """Return the kept steps whose outputs are not those that an execution of the whole flow would give."""
    found = set[str]()
    for item in items:
        behind = steps_behind(new_run.effective, new_run.changed | _find_steps_reading_changes(new_run, item.index))
        found |= behind & item.kept.keys()
    return [step for step in steps_by_id(new_run.flow) if step in found]
