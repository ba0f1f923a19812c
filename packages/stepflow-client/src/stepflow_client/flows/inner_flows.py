"""The flows in the steps of a flow, in the form in which servers from 0.12 on refer to them. Pure.

A run of such a flow has its own flow id: the digest of the flow as the server writes it. A server that was started
again looks for a flow with this id, finds none, because it has never stored it, and gives up the whole run. Where the
client has stored the inner flow in exactly this form, the run continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._data.expressions import PathError, is_expression, parse_path
from .graph import FlowSteps

__all__ = ["inner_flows"]

_FLOW = ("name", "description", "version", "schemas", "steps", "output", "metadata")
_STEP = ("id", "component", "onError", "input", "mustExecute", "metadata")
_ON_ERROR = ("action", "defaultValue", "maxRetries")
_EXPRESSION = ("$step", "$input", "$variable", "path", "default", "$if", "then", "else", "$coalesce")
_PATHS = ("$input", "$variable", "path")


def inner_flows(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the flows in the steps of a flow, at any depth, as servers write them.

    Flows that contain expressions of the outer flow are left out: they differ from run to run.
    """
    found = []
    for inner, within in FlowSteps(flow).inner:
        if inner.is_escaped and isinstance(inner.flow, Mapping):
            found.append(_written(inner.flow))
        found += inner_flows(within.flow)
    return found


def _written(flow: Mapping[str, Any]) -> dict[str, Any]:
    written = _in_order(flow, _FLOW)
    steps, schemas = flow.get("steps"), flow.get("schemas")
    if isinstance(steps, list):
        written["steps"] = [_written_step(each) for each in steps]
    if isinstance(schemas, Mapping):
        written["schemas"] = {"type": "object", **schemas}
    if "output" in flow:
        written["output"] = _written_expression(flow["output"])
    return written


def _written_step(step: Any) -> Any:
    if not isinstance(step, Mapping):
        return step
    written = _in_order(step, _STEP)
    if "input" in step:
        written["input"] = _written_expression(step["input"])
    if isinstance(step.get("onError"), Mapping):
        written["onError"] = _in_order(step["onError"], _ON_ERROR)
    return written


def _written_expression(value: Any) -> Any:
    if isinstance(value, list):
        return [_written_expression(each) for each in value]
    if not isinstance(value, Mapping) or "$literal" in value:
        return value
    if not is_expression(value):
        return {key: _written_expression(each) for key, each in value.items()}
    return {
        key: _written_path(each) if key in _PATHS else _written_expression(each)
        for key, each in _in_order(value, _EXPRESSION).items()
    }


def _written_path(path: Any) -> Any:
    try:
        parts = parse_path(path)
    except (PathError, AttributeError, TypeError):
        return path
    # Unlike this package, servers quote no names.
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _in_order(value: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if value.get(name) is not None}
