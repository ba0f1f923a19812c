"""Pins steps, so that they return a known output (or fail in a known way) without being executed.

Pinning is used by reruns, and by tests to skip slow or paid steps. There are two ways to do it:

- With overrides, using a component that returns its input (`/builtin/noop`, if the server has it). The flow itself
  stays unchanged.
- With a derived flow, which works on every release: the step fails immediately, and its error handling returns the
  output. Reruns use this because the pins are stored with the flow, survive server crashes and are visible to all
  clients.

A step pinned to a failure keeps its error handling, and steps that depend on it fail as they normally would. The pinned
step uses `/builtin/iterate` with a single turn that fails immediately, because its output refers to an input field that
doesn't exist. Servers of every release quote the field's name in the error message, so the name can carry the desired
code and message to anyone who reads the run (see `parse_mocked_failure_message`).

Only the flow's own steps can be pinned, not steps in the sub-flows that `map` and `iterate` run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._data.arguments import check_mapping, check_text
from ..errors import InvalidArgumentError
from ..types.statuses import ErrorCode

PIN_COMPONENT = "/builtin/create_messages"
"""Component of steps pinned with `pinned_flow`. It exists on every release and fails immediately without an input."""
_FAILING = "/builtin/iterate"
_MOCKED_MESSAGE = re.compile(r"Input path \$\.mocked ([A-Z_]+): (.*) not found", re.DOTALL)
_UNCAUGHT_CODE = "orchestrator"


@dataclass(frozen=True)
class Fails:
    """A failure to use in place of a step's output.

    The step's `onError` still applies, so `useDefault` returns the default. A mocked step is only retried if a function
    or `InTurn` returns this.
    """

    code: ErrorCode | str = "COMPONENT_FAILED"
    """An `ErrorCode`, or its name in flow files, e.g. `COMPONENT_FAILED`."""
    message: str = "the mock of the step fails"

    def __post_init__(self) -> None:
        """Validate the code.

        Raises:
            InvalidArgumentError: If the code doesn't exist.
        """
        _ = self.error_code

    @property
    def error_code(self) -> ErrorCode:
        """The code as an `ErrorCode`."""
        from ..flows.expected_results import parse_error_code

        return parse_error_code(self.code)


@dataclass(frozen=True)
class Delayed:
    """An outcome (an output or `Fails`) that a step returns after a delay."""

    outcome: Any
    delay: float
    """How long the step takes, in seconds."""


def parse_mocked_failure_message(message: str) -> tuple[str, str] | None:
    """Return the code and message of a step pinned to a failure, or None for any other error message."""
    match = _MOCKED_MESSAGE.fullmatch(message)
    return None if match is None else (match[1].lower(), match[2])


def pin_overrides(outputs: Mapping[str, Any], *, component: str = "/builtin/noop") -> dict[str, Any]:
    """Return overrides that make steps return the given outputs without being executed.

    An override is a JSON merge patch, where nulls delete keys and objects are merged into the original input. Lists are
    replaced as a whole, so the output goes into a list (in a `$coalesce`). The two nulls remove keywords in the
    original input that would take precedence.

    Args:
        outputs: Outputs by step ID: any JSON values or `Fails`, but not `Delayed`.
        component: A component that returns its input. Defaults to `/builtin/noop` (since 0.13).
    """
    check_text(component, "component")
    overrides: dict[str, Any] = {}
    for step, output in check_mapping(outputs, "outputs").items():
        is_failure = isinstance(output, Fails)
        value = _build_failing_input(output, 0) if is_failure else {"$literal": output}
        patch = {"$literal": None, "$if": None, "$coalesce": [value]}
        overrides[step] = {"component": _FAILING if is_failure else component, "input": patch}
        if is_failure and output.error_code == _UNCAUGHT_CODE:
            overrides[step]["onError"] = None
    return overrides


def pinned_flow(flow: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a flow whose steps return the given outputs. This works on every server.

    Be sure to store it with the client's own methods, which preserve integers. The server configuration must route
    `/builtin`.

    Args:
        flow: The flow, which isn't modified.
        outputs: Outputs by step ID: any JSON values, `Fails`, or `Delayed` (which requires `/builtin/sleep`).

    Raises:
        InvalidArgumentError: If one of the steps isn't in the flow.
    """
    steps = check_mapping(flow, "flow").get("steps")
    listed = steps if isinstance(steps, list) else []
    ids = [step.get("id") if isinstance(step, Mapping) else None for step in listed]
    for step_id in check_mapping(outputs, "outputs"):
        if step_id not in ids:
            raise InvalidArgumentError(f"the flow has no step {step_id!r} to pin")
    pinned = [*listed]
    for place, name in enumerate(ids):
        if isinstance(name, str) and name in outputs:
            pinned[place] = _pin_step(listed[place], outputs[name])
    return {**flow, "steps": pinned}


def _pin_step(step: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """Return a step that fails immediately, with the output as its default unless it's pinned to a failure."""
    kept = {key: step[key] for key in ("id", "mustExecute", "metadata") if key in step}
    outcome, seconds = (output.outcome, output.delay) if isinstance(output, Delayed) else (output, 0.0)
    if isinstance(outcome, Fails):
        handling = {"onError": step["onError"]} if "onError" in step and outcome.error_code != _UNCAUGHT_CODE else {}
        return {**kept, "component": _FAILING, "input": _build_failing_input(outcome, seconds), **handling}
    on_error = {"action": "useDefault", "defaultValue": outcome}
    if seconds:
        return {**kept, "component": _FAILING, "input": _build_failing_input(Fails(), seconds), "onError": on_error}
    # The step fails because its required input is missing.
    return {**kept, "component": PIN_COMPONENT, "onError": on_error}


def _build_failing_input(fails: Fails, seconds: float) -> dict[str, Any]:
    """Return an input that makes `/builtin/iterate` fail with this code and message after a delay in seconds."""
    flow: dict[str, Any] = {"output": {"$input": f"mocked {fails.error_code.value.upper()}: {fails.message}"}}
    if seconds:
        delay = {"duration_ms": max(1, round(seconds * 1000))}
        flow["steps"] = [{"id": "delay", "component": "/builtin/sleep", "input": delay, "mustExecute": True}]
    return {"flow": {"$literal": flow}, "initial_input": {}}
