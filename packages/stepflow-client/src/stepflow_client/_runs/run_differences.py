"""Differences between two runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

from .._data.arguments import check_texts
from .._data.secrets import HIDDEN, find_secret_values_in_flow, hide_flow_secrets
from ..errors import InvalidArgumentError
from ..flows.expected_results import is_json_equal
from ..flows.expressions import Path, PathError, format_path, parse_path, prefix_bare_paths
from ..flows.graph import FlowSteps, find_reachable_names, get_steps_by_id
from ..types.model_base import to_plain_data
from ..types.reruns import RunDifference
from ..types.results import FlowError
from ..types.runs import RunSnapshot
from .strip_and_restore_flow import parse_rerun_origin, remove_cases


def _get_compared_values_by_item(snapshot: RunSnapshot) -> dict[int, dict[str, Any]]:
    """Return what to compare for each item: its status, output and error, and its steps by ID.

    A step that didn't run because another step failed gets the status `not_run` and no error. Steps kept by a rerun are
    added, since servers only list them if other steps read them.
    """
    origin = parse_rerun_origin(snapshot._stored or {})
    pinned: Mapping[str, Any] = {} if origin is None else origin.kept
    kept = {name: {"status": "completed", "output": output, "error": None} for name, output in pinned.items()}
    items: dict[int, dict[str, Any]] = {}
    for item in snapshot.items or ():
        error = _error_to_dict(item.error)
        items[item.index] = {"status": item.status.value, "steps": dict(kept), "output": item.output, "error": error}
    for step in snapshot.steps or ():
        steps = items.setdefault(step.item_index, {"steps": {}})["steps"]
        status, error = step.status.value, _error_to_dict(step.error)
        if step.state == "not_run":
            status, error = "not_run", None
        steps[step.step_id] = {"status": status, "output": step.output, "error": error}
    return items


def reduce_to_item(snapshot: RunSnapshot, index: int) -> RunSnapshot:
    """Reduce a run to one of its items, as if the run had no others.

    Raises:
        InvalidArgumentError: If the run has no such item.
    """
    item = next((item for item in snapshot.items or () if item.index == index), None)
    if item is None:
        raise InvalidArgumentError(f"run {snapshot.run_id} has no item {index}")
    details = replace(snapshot.details, status=item.status)
    steps = [replace(step, item_index=0) for step in snapshot.steps or () if step.item_index == index]
    return replace(snapshot, details=details, items=[replace(item, index=0)], steps=steps)


def find_run_differences(a: RunSnapshot, b: RunSnapshot, ignored: Sequence[Path] = ()) -> list[RunDifference]:
    """Compare two runs, skipping ignored paths: first their status and flow, then each item.

    Secrets from both flows are masked. A difference that merely repeats one in an upstream step's output links to the
    earlier difference.
    """
    flows = [snapshot.flow or {} for snapshot in (a, b)]
    masked_flows = [{"flow": _index_flow_steps(hide_flow_secrets(flow))} for flow in flows]
    secrets = [find_secret_values_in_flow(flow) for flow in flows]

    def make_difference(change: Change, **more: Any) -> RunDifference:
        kind = "added" if change.a is ABSENT else "removed" if change.b is ABSENT else "changed"
        values: list[Any] = []
        for flow, value in zip(masked_flows, (change.a, change.b), strict=True):
            # Within the flow itself, we know where secrets are, so even short ones can be masked.
            shown = _get_value_at_path_or_mask(flow, change.path) if change.path[0] == "flow" else value
            shown = None if value is ABSENT else shown
            for known in secrets:
                shown = known.hide_in(shown)
            values.append(shown)
        return RunDifference(format_path(change.path), kind, *values, **more)  # type: ignore[arg-type]

    before, after = ({"status": run.details.status.value, "flow": _index_flow_steps(run.flow or {})} for run in (a, b))
    differences = [make_difference(change) for change in find_value_changes(before, after, (), ignored)]
    items = [_get_compared_values_by_item(snapshot) for snapshot in (a, b)]
    is_batch = any(len(item) != 1 for item in items)
    for item in () if is_batch else (*items[0].values(), *items[1].values()):
        # A run's only item has the same status as the run, so don't compare it twice.
        item.pop("status", None)
    # Direct and indirect dependencies of each step. The key None stands for the item itself, which depends on all
    # steps.
    direct: dict[str, set[str]] = {}
    for flow in flows:
        for name, names in FlowSteps(flow).dependencies_by_step.items():
            direct.setdefault(name, set()).update(names)
    reads: dict[str | None, set[str]] = {name: find_reachable_names(names, direct) for name, names in direct.items()}
    reads[None] = {*direct}
    for index in sorted({*items[0], *items[1]}):
        one, other = (item.get(index, ABSENT) for item in items)
        path: Path = ("items", index) if is_batch else ()
        seen: dict[str, dict[str, str]] = {}
        for change in find_value_changes(one, other, path, ignored):
            inside = change.path[len(path) :]
            step = str(inside[1]) if len(inside) > 1 and inside[0] == "steps" else None
            difference = make_difference(change, item_index=index, step_id=step)
            differences.append(difference)
            if inside[-1:] == ("status",) and len(inside) in (1, 3):
                continue
            pair = json.dumps([None if value is ABSENT else [value] for value in (change.a, change.b)], sort_keys=True)
            paths = seen.setdefault(pair, {})
            origins = [origin for name, origin in paths.items() if name in reads.get(step, ())]
            if origins:
                differences[-1] = replace(difference, origin=origins[0])
            elif step is not None:
                paths.setdefault(step, difference.path)
    return differences


def _index_flow_steps(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Key a flow's steps by ID, so that their order isn't reported as a difference.

    Examples are omitted because some runs (such as those of a batch) store the flow without them. Paths are written out
    in full, as they are in flows fetched by ID.
    """
    spelled: dict[str, Any] = prefix_bare_paths(remove_cases(flow))
    steps, listed = get_steps_by_id(spelled), spelled.get("steps")
    has_all = isinstance(listed, (list, tuple)) and len(steps) == len(listed)
    return {**spelled, "steps": {name: {**step, "id": name} for name, step in steps.items()}} if has_all else spelled


def _error_to_dict(error: FlowError | None) -> dict[str, Any] | None:
    return None if error is None else {"code": to_plain_data(error.code), "message": error.message}


def _get_value_at_path_or_mask(value: Any, path: Path) -> Any:
    """Return the value at a path, or the mask if the path leads into a masked value."""
    for part in path:
        try:
            value = value[part] if not isinstance(value, str) else HIDDEN
        except (KeyError, IndexError, TypeError):
            return HIDDEN
    return value


ABSENT: Any = object()
"""Stands in for a value that exists only on the other side."""


class Change(NamedTuple):
    """A path at which two values differ."""

    path: Path
    a: Any
    b: Any


def find_value_changes(a: Any, b: Any, path: Path = (), ignored: Sequence[Path] = ()) -> Iterator[Change]:
    """Yield the innermost paths at which two JSON values differ, except those that match an ignored path.

    Objects are compared key by key (in any order), lists element by element. `3` equals `3.0`.
    """
    if _is_ignored_path(path, ignored):
        return
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            yield from find_value_changes(a.get(key, ABSENT), b.get(key, ABSENT), (*path, key), ignored)
    elif isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip_longest(a, b, fillvalue=ABSENT)):
            yield from find_value_changes(one, other, (*path, index), ignored)
    elif a is ABSENT or b is ABSENT or not is_json_equal(a, b):
        yield Change(path, a, b)


def parse_ignored_paths(patterns: str | Iterable[str]) -> list[Path]:
    """Parse paths to ignore. `*` matches any key or index.

    Raises:
        InvalidArgumentError: If a pattern is not a path, or if it would ignore everything.
    """
    paths = []
    for pattern in check_texts(patterns, "ignore"):
        text = pattern.strip().replace("[*]", ".*")
        try:
            path = parse_path(text if text.startswith("$") else f"$.{text}")
            problem = "it is the whole comparison"
        except PathError as error:
            path, problem = (), str(error)
        if not path:
            hint = "use the path of a difference, with * for any key: $.steps.*.output.time"
            raise InvalidArgumentError(f"cannot ignore {pattern!r}: {problem}", hint=hint)
        paths.append(path)
    return paths


def _is_ignored_path(path: Path, patterns: Sequence[Path]) -> bool:
    """Return whether a path or one of its parents matches a pattern."""
    return any(
        len(pattern) <= len(path) and all(part in ("*", actual) for part, actual in zip(pattern, path, strict=False))
        for pattern in patterns
    )
