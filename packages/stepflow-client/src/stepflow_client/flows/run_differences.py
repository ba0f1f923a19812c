"""Differences between two runs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._data.expressions import Path, write_path
from .._data.secrets import HIDDEN, flow_secrets, hidden_flow
from ..types.comparison import RunDifference
from .account import accounts_of
from .differences import ABSENT, Change, changes, is_ignored
from .graph import FlowSteps, reachable, steps_by_id

if TYPE_CHECKING:
    from ..types import FlowError, RunDetails, RunItem, StepDetails

__all__ = ["RunContent", "run_differences"]


@dataclass(frozen=True)
class RunContent:
    """A run with its flow, items and steps."""

    run: RunDetails
    flow: Mapping[str, Any]
    items: Sequence[RunItem]
    steps: Sequence[StepDetails]
    kept: Mapping[str, Any] = field(default_factory=dict)
    """The outputs that a rerun keeps, by step id. Its server lists only those of them that other steps read."""

    @cached_property
    def items_by_index(self) -> dict[int, dict[str, Any]]:
        """The compared parts of each item: its steps by id, status, output and error.

        A step that was not run because of a failed one has the status `not_run` and no error of its own.
        """
        kept = {name: {"status": "completed", "output": output, "error": None} for name, output in self.kept.items()}
        found = {item.index: {**_item(item), "steps": dict(kept)} for item in self.items}
        accounts = accounts_of(self.run, self.items, self.steps, self.flow)
        not_run = {(index, name) for index, account in accounts.items() for name in account.not_run}
        for step in self.steps:
            steps = found.setdefault(step.item_index, {"steps": {}})["steps"]
            status, error = step.status.value, _error(step.error)
            if (step.item_index, step.step_id) in not_run:
                status, error = "not_run", None
            steps[step.step_id] = {"status": status, "output": step.output, "error": error}
        return found


def run_differences(a: RunContent, b: RunContent, ignored: Sequence[Path] = ()) -> list[RunDifference]:
    """Return the differences between two runs: in status and flow, then item by item.

    Args:
        a: One run.
        b: The other run.
        ignored: Patterns of places to leave out, including everything below them.
    """
    shown = _Shown(a.flow, b.flow)
    before, after = ({"status": each.run.status.value, "flow": _by_id(each.flow)} for each in (a, b))
    found = [shown.difference(each) for each in changes(before, after) if not is_ignored(each.path, ignored)]
    is_batch = len(a.items_by_index) > 1 or len(b.items_by_index) > 1
    behind = _reads(a.flow, b.flow)
    for index in sorted({*a.items_by_index, *b.items_by_index}):
        one, other = (each.items_by_index.get(index, ABSENT) for each in (a, b))
        path: Path = ("items", index) if is_batch else ()
        if not is_batch:
            # The status of the only item is the status of the run.
            one, other = (_without_status(each) for each in (one, other))
        differing = [each for each in changes(one, other, path) if not is_ignored(each.path, ignored)]
        found += _of_item(differing, len(path), index, behind, shown)
    return found


class _Shown:
    """Converts changes to differences, without the secrets of the two flows."""

    def __init__(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        self._flows = [{"flow": _by_id(hidden_flow(each))} for each in (a, b)]
        self._secrets = [flow_secrets(each) for each in (a, b)]

    def difference(self, change: Change) -> RunDifference:
        kind = "added" if change.a is ABSENT else "removed" if change.b is ABSENT else "changed"
        values = [self._value(side, value, change.path) for side, value in enumerate((change.a, change.b))]
        return RunDifference(path=write_path(change.path), kind=kind, a=values[0], b=values[1])  # type: ignore[arg-type]

    def _value(self, side: int, value: Any, path: Path) -> Any:
        if value is ABSENT:
            return None
        if path[0] == "flow":
            # In the flow itself, short secrets can be distinguished from other values.
            value = _at(self._flows[side], path)
        for secrets in self._secrets:
            value = secrets.hide_in(value)
        return value


def _of_item(
    differing: Sequence[Change], depth: int, index: int, behind: Mapping[str | None, set[str]], shown: _Shown
) -> Iterator[RunDifference]:
    """Yield the differences of an item, each with the earlier difference that it repeats, if any."""
    seen: dict[str, dict[str, str]] = {}
    for change in differing:
        inside = change.path[depth:]
        step = str(inside[1]) if len(inside) > 1 and inside[0] == "steps" else None
        made = replace(shown.difference(change), item=index, step=step)
        if inside[-1:] == ("status",) and len(inside) in (1, 3):
            yield made
            continue
        pair = json.dumps([None if each is ABSENT else [each] for each in (change.a, change.b)], sort_keys=True)
        there = seen.setdefault(pair, {})
        origins = [path for name, path in there.items() if name in behind.get(step, ())]
        if step is not None and not origins:
            there.setdefault(step, made.path)
        yield replace(made, origin=origins[0] if origins else None)


def _reads(*flows: Mapping[str, Any]) -> dict[str | None, set[str]]:
    """Return the steps that each step reads, directly or through others. None is the item, which reads all steps."""
    direct: dict[str, set[str]] = {}
    for flow in flows:
        for name, read in FlowSteps(flow).reads.items():
            direct.setdefault(name, set()).update(read)
    return {None: {*direct}, **{name: reachable(read, direct) for name, read in direct.items()}}


def _by_id(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow with its steps by id, so that their order does not count as a difference."""
    steps, listed = steps_by_id(flow), flow.get("steps")
    if not isinstance(listed, (list, tuple)) or len(steps) != len(listed):
        return dict(flow)
    return {**flow, "steps": {name: {**step, "id": name} for name, step in steps.items()}}


def _item(item: RunItem) -> dict[str, Any]:
    result = item.result
    return {
        "status": item.status.value,
        "steps": {},
        "output": None if result is None else result.output,
        "error": None if result is None else _error(result.error),
    }


def _without_status(item: Any) -> Any:
    return item if item is ABSENT else {key: value for key, value in item.items() if key != "status"}


def _error(error: FlowError | None) -> dict[str, Any] | None:
    return None if error is None else error.model_dump(mode="json", include={"code", "message"})


def _at(value: Any, path: Path) -> Any:
    """Return the value at a path; a path inside a hidden value is hidden."""
    for part in path:
        try:
            value = value[part] if not isinstance(value, str) else HIDDEN
        except (KeyError, IndexError, TypeError):
            return HIDDEN
    return value
