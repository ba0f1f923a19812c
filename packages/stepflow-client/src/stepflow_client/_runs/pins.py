"""Pins steps: they return a known output, or fail in a known way, without being executed. Pure.

Steps are pinned for tests without slow or paid steps, and for reruns. There are two ways:

- by overrides, with a component that returns its input (`/builtin/noop`, if the server has it). This leaves the flow
  unchanged;
- by a derived flow, on every release: the step fails at once, and its error handling returns the output. Reruns use
  this, because the pins are stored with the flow, survive a crash of the server, and are visible to every client.

A step that is pinned to a failure keeps its error handling, and the steps that read it fail with it, as on the server.
Its component is `/builtin/iterate`, whose only turn fails at once: its output is a field of the input that does not
exist. Servers of every release quote the field's name in the message, so the name contains the wanted code and message,
and every reader of the run gets them (`parse_mocked_failure`).

Only steps of the flow itself can be pinned, not the steps of sub-flows that `map` and `iterate` run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._data.arguments import check_mapping, check_text
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    from ..types import ErrorCode

PIN_COMPONENT = "/builtin/create_messages"
"""The component of steps that `pinned_flow` pins. It is on every release, and fails immediately without input."""
_FAILING = "/builtin/iterate"
_MOCKED = re.compile(r"Input path \$\.mocked ([A-Z_]+): (.*) not found", re.DOTALL)
_NOT_CAUGHT = "orchestrator"


@dataclass(frozen=True)
class Fails:
    """A failure, in place of the output of a step.

    The step's `onError` applies: `useDefault` returns the default. Nothing is retried: a step with `retry` fails at
    once.
    """

    code: ErrorCode | str = "COMPONENT_FAILED"
    """A word of flow files (`COMPONENT_FAILED`) or an `ErrorCode`."""
    message: str = "the mock of the step fails"
    """The error's message."""

    def __post_init__(self) -> None:
        """Check the code.

        Raises:
            InvalidArgumentError: If there is no such code.
        """
        _ = self.error_code

    @property
    def error_code(self) -> ErrorCode:
        """The code in the form of errors."""
        from ..flows.matching import parse_error_code

        return parse_error_code(self.code)


@dataclass(frozen=True)
class Delayed:
    """The outcome of a step that takes some time: an output, or `Fails`."""

    outcome: Any
    delay: float
    """Seconds that the step takes."""


def parse_mocked_failure(message: str) -> tuple[str, str] | None:
    """Return the code and the message of a step that was pinned to a failure; None for any other error message."""
    match = _MOCKED.fullmatch(message)
    return None if match is None else (match[1].lower(), match[2])


def pin_overrides(outputs: Mapping[str, Any], *, component: str = "/builtin/noop") -> dict[str, Any]:
    """Return overrides with which each of these steps returns the given output without being executed.

    An override is a JSON merge patch: nulls in objects delete keys, and objects are merged into those of the old input.
    A list is replaced as a whole, so the output is put in a list, and two nulls remove keywords of the old input that
    would take precedence.

    Args:
        outputs: Outputs by step id: any JSON values, or `Fails`, but not `Delayed`.
        component: A component that returns its input. Default `/builtin/noop` (0.13 and newer).
    """
    check_text(component, "component")
    overrides: dict[str, Any] = {}
    for step, output in check_mapping(outputs, "outputs").items():
        is_failure = isinstance(output, Fails)
        value = _build_failing_input(output, 0) if is_failure else {"$literal": output}
        overrides[step] = {
            "component": _FAILING if is_failure else component,
            "input": {"$literal": None, "$if": None, "$coalesce": [value]},
        }
        if is_failure and output.error_code == _NOT_CAUGHT:
            overrides[step]["onError"] = None
    return overrides


def pinned_flow(flow: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow in which each of these steps returns the given output; works on every server.

    Store it with the client's own methods, which preserve its integers. The configuration must route `/builtin`.

    Args:
        flow: The flow; it is not changed.
        outputs: Outputs by step id: any JSON values, `Fails`, or `Delayed`, which needs `/builtin/sleep`.

    Raises:
        InvalidArgumentError: If the flow has no step with one of these ids.
    """
    steps = check_mapping(flow, "flow").get("steps")
    listed = steps if isinstance(steps, list) else []
    ids = [step.get("id") if isinstance(step, Mapping) else None for step in listed]
    for step_id in check_mapping(outputs, "outputs"):
        if step_id not in ids:
            raise InvalidArgumentError(f"the flow has no step {step_id!r} to pin")
    pinned = [
        _pin_step(step, outputs[step_id]) if isinstance(step_id, str) and step_id in outputs else step
        for step, step_id in zip(listed, ids, strict=True)
    ]
    return {**flow, "steps": pinned}


def _pin_step(step: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """Return a step that fails at once, and returns the output as its default unless it is pinned to a failure."""
    kept = {key: step[key] for key in ("id", "mustExecute", "metadata") if key in step}
    outcome, seconds = (output.outcome, output.delay) if isinstance(output, Delayed) else (output, 0.0)
    if isinstance(outcome, Fails):
        handling = {"onError": step["onError"]} if "onError" in step and outcome.error_code != _NOT_CAUGHT else {}
        return {**kept, "component": _FAILING, "input": _build_failing_input(outcome, seconds), **handling}
    on_error = {"action": "useDefault", "defaultValue": outcome}
    if seconds:
        return {**kept, "component": _FAILING, "input": _build_failing_input(Fails(), seconds), "onError": on_error}
    # It lacks the required input.
    return {**kept, "component": PIN_COMPONENT, "onError": on_error}


def _build_failing_input(fails: Fails, seconds: float) -> dict[str, Any]:
    """Return the input with which `/builtin/iterate` fails, after some seconds, with this code and message."""
    flow: dict[str, Any] = {"output": {"$input": f"mocked {fails.error_code.value.upper()}: {fails.message}"}}
    if seconds:
        delay = {"duration_ms": max(1, round(seconds * 1000))}
        flow["steps"] = [{"id": "delay", "component": "/builtin/sleep", "input": delay, "mustExecute": True}]
    return {"flow": {"$literal": flow}, "initial_input": {}}


def get_pinned_output(step: Mapping[str, Any]) -> Any:
    """Return the output of a step that `pinned_flow` has pinned."""
    on_error = step.get("onError")
    return on_error.get("defaultValue") if isinstance(on_error, Mapping) else None
