"""Turns an item of a run into a test case of its flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError, NotFoundError
from stepflow_client._command import without_cases
from stepflow_client._data.secrets import is_hidden
from stepflow_client.flows.expressions import PathError, parse_path, write_path
from stepflow_client.flows.graph import steps_by_id

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunArguments, RunDetails
    from stepflow_client.types.snapshot import RunSnapshot


@dataclass(frozen=True)
class ItemToSave:
    """An item of a run with its input and result, in which known secrets are masked as `***`."""

    run: RunDetails
    index: int
    total: int
    """Number of items of the run."""
    flow: Mapping[str, Any]
    """The flow of the run; empty if it is unknown."""
    arguments: RunArguments
    input: Any
    result: FlowResult
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    """The outcomes of its steps, as flow results, if they were read."""

    @property
    def warnings(self) -> list[str]:
        """The reasons why the case may not pass without changes."""
        error, warnings = self.result.error, list[str]()
        if self.arguments.overrides:
            warnings.append("the run had overrides of steps; a test case has none, so its result may differ")
        secret = [name for name, value in (self.arguments.variables or {}).items() if is_hidden(value)]
        if secret:
            ways = " ".join(f"--var {name}=VALUE" for name in secret)
            warnings.append(f"secret variables are left out: set them with 'stepflow test {ways}'")
        if is_hidden([self.input, self.result.output, *([error.message, error.details] if error else [])]):
            warnings.append("secrets are ***: write their values, or other ones, into the case")
        return warnings

    @property
    def name(self) -> str:
        """A name for the case: unique, because it has the id of the run."""
        what = "works" if self.result.is_success else "fails"
        return f"{what} as in {self.run.run_id[:8]}{f' item {self.index}' if self.total > 1 else ''}"

    def to_case(self, name: str, mocked: Iterable[str] = ()) -> dict[str, Any]:
        """Return the test case, with mocks for some of the steps.

        Raises:
            InvalidArgumentError: If the item was cancelled or lost.
        """
        from .case_edits import build_case

        mocks = {step_id: self.outcomes[step_id] for step_id in mocked}
        variables = self.arguments.variables or {}
        variables = {name: value for name, value in variables.items() if not is_hidden(value)}
        known: dict[str, Any] = {"variables": variables, "mocks": mocks, "flow": self.flow}
        return build_case(name, self.input, self.result, **known, at=self.run.created_at)


def read_item_to_save(snapshot: RunSnapshot, index: int) -> ItemToSave:
    """Return an item of a run to keep.

    Args:
        snapshot: The run with its items, its flow, its arguments, and its steps if their outcomes may be kept too.
        index: The index of the item.

    Raises:
        NotFoundError: If the run has no such item.
        InvalidArgumentError: If the item has not ended, or its input is not known.
    """
    from stepflow_client._command import flow_result
    from stepflow_client._runs.explanation import explain_items
    from stepflow_client.drawing.report_data import mask_snapshot

    run, items = snapshot.details, snapshot.items or ()
    if not 0 <= index < len(items):
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    shown = mask_snapshot(replace(snapshot, items=[items[index]]))
    item, arguments = next(iter(shown.items or ())), shown.arguments
    if item.result is None:
        raise InvalidArgumentError("it has not ended yet: a test case needs its output or its error")
    if arguments is None or arguments.inputs is None or len(arguments.inputs) != len(items):
        hint = "runs that were started on this machine are in the history, if it is on"
        raise InvalidArgumentError("the input of the run is not known, so it cannot become a test case", hint=hint)
    account = explain_items(shown)[item.index]
    # Other steps did not run because a step that they read failed.
    ended = {step.step_id for step in account.steps if step.state in ("completed", "failed")}
    outcomes = {
        step.step_id: flow_result(step.output, step.error) for step in shown.steps or () if step.step_id in ended
    }
    input, flow = arguments.inputs[index], snapshot.flow or {}
    return ItemToSave(run, index, len(items), flow, arguments, input, item.result, outcomes)


def diff_lines(before: bytes, after: bytes) -> tuple[str, ...]:
    """Return the changed lines of a file and some around them, in the format of `diff -u`, without the file names."""
    was, now = (content.decode("utf-8", "replace").splitlines() for content in (before, after))
    return tuple(unified_diff(was, now, lineterm=""))[2:]


def rate_match(written: Mapping[str, Any], flow: Mapping[str, Any]) -> int:
    """Return how well a flow matches a flow in a file, from 0 (different) to 4 (the same)."""
    from stepflow_client.flows.matching import equal

    if equal(_normalize_flow(without_cases(written)), _normalize_flow(without_cases(flow))):
        return 4
    if flow.get("name") and written.get("name") == flow["name"]:
        return 3 if [*steps_by_id(written)] == [*steps_by_id(flow)] else 2
    return 0


def _normalize_flow(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow with the changes that servers make when they store it: defaults, and the spelling of paths."""
    result = {key: each for key, each in flow.items() if each not in (None, [], {})}
    if isinstance(result.get("schemas"), Mapping):
        result["schemas"] = {"type": "object", **result["schemas"]}
    if isinstance(result.get("steps"), list):
        result["steps"] = [
            {key: each for key, each in step.items() if each is not None and each is not False}
            if isinstance(step, Mapping)
            else step
            for step in result["steps"]
        ]
    return {key: _normalize_paths(each) for key, each in result.items()}


def _normalize_paths(value: Any, key: object = None) -> Any:
    """Return a value with the paths of its expressions in one spelling."""
    if isinstance(value, list):
        return [_normalize_paths(element) for element in value]
    if isinstance(value, Mapping):
        return {name: _normalize_paths(each, name) for name, each in value.items()}
    if isinstance(value, str) and key in ("path", "$input", "$variable"):
        with suppress(PathError):
            return write_path(parse_path(value))
    return value
