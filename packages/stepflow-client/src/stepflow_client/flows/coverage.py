"""Which parts of a flow runs reach: its steps, the branches of its expressions, and its error handling. Pure.

A branch is the `then` or the `else` of an `$if`, an alternative of a `$coalesce` that gives its value, or the default
of a step whose `onError` is `useDefault`. The steps of the flows that `map` and `iterate` run count as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._data.expressions import Path, keyword_of, references, write_path
from ..errors import InvalidArgumentError
from ..types.shown import Record
from .account import account_of
from .causes import ItemCauses, ItemRecord
from .flow_argument import FlowSource, load_flow
from .graph import FlowSteps, inner_flow, steps_by_id
from .interpreter import BROKEN, Failure, NotKnownError, RecordedEvaluation, part_at

if TYPE_CHECKING:
    from ..types import FlowError, StepDetails
    from ..types.statuses import ExecutionStatus

PartState = Literal["reached", "mocked", "not_reached", "unknown"]
"""`mocked`: the step was never executed, but a mock stood for it. `unknown`: the server does not tell."""
_DEFAULT = "default of onError"
_KEYS_OF_CHOICES = ("$if", "$coalesce", "then", "else")


@dataclass(frozen=True)
class FlowPart(Record):
    """A step, or a branch in one or in the output."""

    steps: tuple[str, ...]
    """The id of the step, after those of the steps whose flows it is in; the output of a flow has none of its own."""
    branch: str
    """The branch, for example `input.name then`; empty for the step itself."""
    at: Path
    """Where it is in the flow."""
    state: PartState = "not_reached"
    cases: tuple[str, ...] = ()
    """The cases that reach it."""

    @property
    def is_reached(self) -> bool:
        """Whether a case reaches it, be it with a mock."""
        return self.state in ("reached", "mocked")


@dataclass(frozen=True)
class Execution:
    """A flow that was executed once, or a flow in one of its steps."""

    within: tuple[str, ...]
    """The ids of the steps whose flow it is; empty for the flow itself."""
    input: Any
    status: ExecutionStatus
    error: FlowError | None
    steps: Sequence[StepDetails]
    mocked: Collection[str] = ()
    """The steps with a mock."""
    failing: Collection[str] = ()
    """Those of them whose mock is a failure."""
    has_steps: bool = True
    """Whether the server tells which steps were executed."""


class _Choice(NamedTuple):
    """An `$if` or a `$coalesce`, and its branches by the names of their parts."""

    steps: tuple[str, ...]
    branches: Mapping[str | int, str]


@dataclass
class _Seen:
    """What is known about a part."""

    part: FlowPart
    cases: dict[str, None] = field(default_factory=dict)
    is_executed: bool = False
    is_unknown: bool = False

    @property
    def result(self) -> FlowPart:
        state: PartState = "unknown" if self.is_unknown else "not_reached"
        if self.cases:
            state = "reached" if self.is_executed else "mocked"
        return replace(self.part, state=state, cases=tuple(self.cases))


class FlowCoverage:
    """Collects which parts of a flow are reached.

    Args:
        flow: The flow: a path, a mapping or an object.
    """

    def __init__(self, flow: FlowSource) -> None:
        """List the parts.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If it is no flow.
        """
        self._flows: dict[tuple[str, ...], Mapping[str, Any]] = {}
        self._seen: dict[tuple[tuple[str, ...], str], _Seen] = {}
        self._choices: dict[int, _Choice] = {}
        try:
            # Without the anchors of YAML, each expression is an object of its own.
            self._add_flow(json.loads(json.dumps(load_flow(flow))), (), ())
        except RecursionError:
            raise InvalidArgumentError("the flow is nested too deeply") from None

    @property
    def parts(self) -> list[FlowPart]:
        """The parts, in the order of the flow: each step, then its branches; the output is last."""
        return [each.result for each in self._seen.values()]

    def _add(self, case: str, execution: Execution) -> None:
        """Add what an execution has reached.

        Args:
            case: The name of the case.
            execution: The execution of the flow, or of a flow in its steps.
        """
        flow, within = self._flows[execution.within], execution.within
        if not execution.has_steps:
            for (steps, branch), seen in self._seen.items():
                is_inside = steps[: len(within)] == within and (steps != within or branch.startswith("output"))
                seen.is_unknown |= is_inside
            return
        record = ItemRecord(flow, execution.status, execution.error, execution.steps, execution.input, {})
        traced = _Traced(record, self._chosen(case))
        traced.trace(flow.get("output"))
        definitions = steps_by_id(flow)
        for account in account_of("", 0, record).steps:
            steps, is_mocked = (*within, account.step_id), account.step_id in execution.mocked
            if account.state not in ("completed", "failed") or (steps, "") not in self._seen:
                continue
            self._note(steps, "", case, executed=not is_mocked)
            is_default = account.is_default
            if is_mocked:
                is_default = account.step_id in execution.failing
            # The output is the default, even if the component may have returned it.
            if is_default or (is_default is None and traced.has_outputs):
                self._note(steps, _DEFAULT, case)
            elif is_default is None:
                self._note(steps, _DEFAULT, None)
            if not is_mocked:
                traced.trace(definitions[account.step_id].get("input"))

    def _chosen(self, case: str) -> Callable[[Any, str | int | None], None]:
        def chosen(expression: Any, branch: str | int | None) -> None:
            found = self._choices.get(id(expression))
            for each, name in found.branches.items() if found is not None else ():
                if branch in (each, None) and found is not None:
                    self._note(found.steps, name, None if branch is None else case)

        return chosen

    def _note(self, steps: tuple[str, ...], branch: str, case: str | None, *, executed: bool = True) -> None:
        """Note that a case has reached a part, or, with None, that it is not known whether one has."""
        seen = self._seen.get((steps, branch))
        if seen is None:
            return
        if case is None:
            seen.is_unknown = True
        else:
            seen.cases[case] = None
            seen.is_executed |= executed

    def _add_flow(self, flow: Mapping[str, Any], within: tuple[str, ...], at: Path) -> None:
        self._flows[within] = flow
        for step in FlowSteps(flow).by_id.values():
            steps, place = (*within, step.id), (*at, "steps", step.index)
            self._add_part(steps, "", place)
            self._add_choices(steps, step.value.get("input"), "input", (*place, "input"))
            handling = step.value.get("onError")
            if isinstance(handling, Mapping) and handling.get("action") == "useDefault":
                self._add_part(steps, _DEFAULT, (*place, "onError"))
            inner = inner_flow(step.value)
            if inner is not None and isinstance(inner.flow, Mapping):
                self._add_flow(inner.flow, steps, (*place, *inner.at))
        self._add_choices(within, flow.get("output"), "output", (*at, "output"))

    def _add_part(self, steps: tuple[str, ...], branch: str, at: Path) -> None:
        self._seen.setdefault((steps, branch), _Seen(FlowPart(steps, branch, at)))

    def _add_choices(self, steps: tuple[str, ...], expression: Any, root: str, at: Path) -> None:
        for place, choice in _choices_in(expression).items():
            name = write_path(place, root)
            if keyword_of(choice) == "$if":
                branches: dict[str | int, str] = {"then": f"{name} then", "else": f"{name} else"}
                if "else" not in choice:
                    branches["else"] += " (null)"
            else:
                branches = {index: f"{name} alternative {index + 1}" for index in range(len(choice["$coalesce"]))}
            self._choices[id(choice)] = _Choice(steps, branches)
            for branch in branches.values():
                self._add_part(steps, branch, (*at, *place))


def _choices_in(expression: Any) -> dict[Path, Mapping[str, Any]]:
    """Return each `$if` and `$coalesce` of an expression that reads something, by its place."""
    found: dict[Path, Mapping[str, Any]] = {}
    for each in references(expression):
        for end, part in enumerate(each.at):
            choice = part_at(expression, each.at[:end]) if part in _KEYS_OF_CHOICES else None
            if isinstance(choice, Mapping) and keyword_of(choice) in ("$if", "$coalesce"):
                found.setdefault(each.at[:end], choice)
    return found


class _Traced(RecordedEvaluation):
    """Evaluates expressions with the recorded outcomes of steps, and tells which branches are taken.

    Args:
        record: What is known about the item.
        chosen: Is called with each `$if` and `$coalesce` and the branch that is taken: `then`, `else`, the position of
            an alternative, or None if that is not known.
    """

    def __init__(self, record: ItemRecord, chosen: Callable[[Any, str | int | None], None]) -> None:
        item = ItemCauses(record)
        super().__init__(record.flow, record.input, record.variables, item.evaluation.steps)
        self.has_outputs = item.has_outputs
        self._chosen = chosen

    def trace(self, expression: Any) -> None:
        """Evaluate an expression."""
        with suppress(Failure, NotKnownError, *BROKEN):
            self.value(expression)

    def value(self, expression: Any) -> Any:
        """Return the value of an expression.

        Raises:
            Failure: If it fails.
            NotKnownError: If its value is not known.
        """
        keyword = keyword_of(expression)
        try:
            if keyword == "$if":
                self._chosen(expression, "then" if self._holds(expression["$if"]) else "else")
            elif keyword == "$coalesce":
                values = [*expression["$coalesce"]]
                taken = (index for index, each in enumerate(values) if self.value(each) is not None)
                self._chosen(expression, next(taken, len(values) - 1))
        except NotKnownError:
            self._chosen(expression, None)
            raise
        return super().value(expression)
