"""Runs a flow with mocked steps, including steps of its sub-flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from .._cases.mock_outcomes import Mock, flow_result, needs_input, settled
from .._runs.pins import Delayed, pin_overrides, pinned_flow
from ..errors import InvalidArgumentError
from ..flows.graph import inner_flow, steps_within
from .subflows import subflow_outcome

if TYPE_CHECKING:
    from .._codec.requests import Variables
    from .._sync.client import SyncStepflowClient
    from ..types import FlowResult

Data = Mapping[str, Any]
"""A flow, a step, or values by name."""
NO_MOCK: Any = object()
"""Stands for the mock of a step without one."""


def _steps(flow: Any) -> list[Data]:
    steps = flow.get("steps") if isinstance(flow, Mapping) else None
    return [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []


class MockedRun(NamedTuple):
    """A run of a flow with mocked steps, or of a flow in one of its steps."""

    within: tuple[str, ...]
    """The ids of the steps that contain the flow; empty for the outer flow."""
    input: Any
    result: FlowResult
    mocked: frozenset[str]
    """The steps with a mock."""
    variables: Any
    """The variables of the run; None without any."""


@dataclass
class MockedFlow:
    """Runs flows with mocked steps, including steps of sub-flows."""

    client: SyncStepflowClient
    find: Callable[[Data], Mock]
    """Returns the mock of a step, or `NO_MOCK`."""
    timeout: float | None
    """Seconds for each run; None for no limit."""
    check_input: bool = True
    """Whether to refuse input that does not match a flow's input schema."""
    runs: list[MockedRun] = field(default_factory=list)
    """The runs of flows in the order in which they ended, without runs that only compute the input of a step."""

    def run(
        self, flow: Data, input: Any, variables: Variables | None = None, within: tuple[str, ...] = ()
    ) -> FlowResult:
        """Run a flow, which is inside the steps `within`, and return its result."""
        outcomes: dict[str, Any] = {}
        for step in _steps(flow):
            mock = self._mock_of(step, within)
            if mock is NO_MOCK:
                continue
            if needs_input(mock):
                computed = self.input_of(flow, step, input, outcomes, variables)
                if not computed.is_success:
                    continue
                mock = settled(mock, computed.output, step)
            outcomes[step["id"]] = mock
        result = self._pinned(flow, input, outcomes, variables)
        mocked = frozenset(step["id"] for step in _steps(flow) if step.get("id") in outcomes and self._has_mock(step))
        self.runs.append(MockedRun(within, input, result, mocked, variables))
        return result

    def _has_mock(self, step: Data) -> bool:
        return self.find(step) is not NO_MOCK

    def input_of(
        self, flow: Data, step: Data, input: Any, outcomes: Data, variables: Variables | None = None
    ) -> FlowResult:
        """Return a result whose output is the input of a step; it is failed if the input cannot be computed.

        This runs the earlier steps that the input needs, except for those in `outcomes`.
        """
        before: list[Any] = []
        for each in _steps(flow):
            if each is step:
                break
            before.append({key: value for key, value in each.items() if key != "mustExecute"})
        probe = {**flow, "steps": before, "output": step.get("input")}
        immediate = {name: each.outcome if isinstance(each, Delayed) else each for name, each in outcomes.items()}
        return self._pinned(probe, input, immediate, variables)

    def _pinned(self, flow: Data, input: Any, outcomes: Data, variables: Variables | None) -> FlowResult:
        """Run a flow in which some steps have a fixed outcome."""
        ids = [step.get("id") for step in _steps(flow)]
        pins = {step_id: outcome for step_id, outcome in outcomes.items() if step_id in ids}
        is_delayed = any(isinstance(each, Delayed) for each in pins.values())
        overrides = None
        if is_delayed and not self._has_noop:
            raise InvalidArgumentError("a mock with a delay needs /builtin/sleep, which this server does not have")
        if pins and self._has_noop and not is_delayed:
            # With overrides, the flow, its id and its diagrams stay the same.
            overrides = pin_overrides(pins)
        elif pins:
            flow = pinned_flow(flow, pins)
        options: dict[str, Any] = {"variables": variables, "check_input": self.check_input, "timeout": self.timeout}
        # Pass a list of one item, because the input itself may be a list.
        return self.client.run(flow, [input], overrides, **options)

    @cached_property
    def _has_noop(self) -> bool:
        """Whether the server has a component that returns its input."""
        listed = self.client.list_components(include_schemas=False)
        return any(each.name in ("noop", "builtin/noop") for each in listed)

    def _mock_of(self, step: Data, within: tuple[str, ...]) -> Mock:
        """Return the mock of a step; if it contains mocked steps, a function that runs its sub-flow."""
        mock = self.find(step)
        inner = inner_flow(step) if mock is NO_MOCK else None
        if inner is None or not any(map(self._has_mock, steps_within(inner.flow))):
            return mock
        name, component = step.get("id"), step.get("component")
        is_stored = component == "/builtin/put_blob"
        if is_stored or not inner.is_as_written:
            reason = f"{component} only stores it" if is_stored else "the flow is computed"
            message = f"step {name!r} contains a flow whose steps cannot be mocked: {reason}"
            raise InvalidArgumentError(message, hint=f"mock step {name!r}, or use the server's mock plugin")

        def run(flow: Data, inputs: Sequence[Any]) -> list[dict[str, Any]]:
            results = (self.run(flow, each, within=(*within, str(name))) for each in inputs)
            return [flow_result(done.output, done.error) for done in results]

        # In the input of the step, the defaults of the sub-flow's variables are evaluated.
        return lambda given: subflow_outcome(str(component), str(name), given, run)
