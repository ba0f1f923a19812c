"""Runs a flow whose steps, and the steps of whose sub-flows, may have mocks."""

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
"""In place of the mock of a step that has none."""


def _steps(flow: Any) -> list[Data]:
    steps = flow.get("steps") if isinstance(flow, Mapping) else None
    return [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []


def _at_once(outcome: Any) -> Any:
    return outcome.outcome if isinstance(outcome, Delayed) else outcome


class MockedRun(NamedTuple):
    """A run of a flow with mocked steps, or of a flow in one of its steps."""

    within: tuple[str, ...]
    """The ids of the steps whose flow it is; empty for the flow itself."""
    input: Any
    result: FlowResult
    mocked: frozenset[str]
    """The steps with a mock."""
    variables: Any
    """The variables of the run; None without any."""


@dataclass
class MockedFlow:
    """Runs flows whose steps, and the steps of whose sub-flows, may have mocks."""

    client: SyncStepflowClient
    find: Callable[[Data], Mock]
    """Returns the mock of a step, or `NO_MOCK`."""
    timeout: float | None
    """Seconds for each run; None for no limit."""
    check_input: bool = True
    """Whether to refuse input that does not match a flow's input schema."""
    runs: list[MockedRun] = field(default_factory=list)
    """The runs of flows, in the order in which they ended. Those that compute the input of a step are left out."""

    def run(
        self, flow: Data, input: Any, variables: Variables | None = None, within: tuple[str, ...] = ()
    ) -> FlowResult:
        """Run a flow, which is that of the steps with the ids `within`, and return its result."""
        outcomes: dict[str, Any] = {}
        for step in _steps(flow):
            mock = self._mock_of(step, within)
            if mock is NO_MOCK:
                continue
            if needs_input(mock):
                given = self.input_of(flow, step, input, outcomes, variables)
                if not given.is_success:
                    continue
                mock = settled(mock, given.output, step)
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
        """Return a result whose output is the input of a step; a failed one if the input cannot be computed.

        Of the steps before it, those that it needs run, except for those with a known outcome.
        """
        before: list[Any] = []
        for each in _steps(flow):
            if each is step:
                break
            before.append({key: value for key, value in each.items() if key != "mustExecute"})
        probe = {**flow, "steps": before, "output": step.get("input")}
        at_once = {name: _at_once(each) for name, each in outcomes.items()}
        return self._pinned(probe, input, at_once, variables)

    def _pinned(self, flow: Data, input: Any, outcomes: Data, variables: Variables | None) -> FlowResult:
        ids = [step.get("id") for step in _steps(flow)]
        known = {step_id: outcome for step_id, outcome in outcomes.items() if step_id in ids}
        sent, overrides = self._pins(flow, known)
        # One item, even if it is a list.
        how: dict[str, Any] = {"variables": variables, "check_input": self.check_input, "timeout": self.timeout}
        return self.client.run(sent, [input], overrides, **how)

    def _pins(self, flow: Data, outcomes: Data) -> tuple[Data, dict[str, Any] | None]:
        """Return the flow and the overrides with which these steps have these outcomes."""
        if not outcomes:
            return flow, None
        is_delayed = any(isinstance(each, Delayed) for each in outcomes.values())
        if is_delayed and not self._has_noop:
            raise InvalidArgumentError("a mock with a delay needs /builtin/sleep, which this server does not have")
        # With overrides, the flow, its id and its diagrams stay the same.
        if self._has_noop and not is_delayed:
            return flow, pin_overrides(outcomes)
        return pinned_flow(flow, outcomes), None

    @cached_property
    def _has_noop(self) -> bool:
        """Whether the server has a component that returns its input."""
        listed = self.client.list_components(include_schemas=False)
        return any(each.name in ("noop", "builtin/noop") for each in listed)

    def _mock_of(self, step: Data, within: tuple[str, ...]) -> Mock:
        """Return the mock of a step; of one whose sub-flow has mocked steps, a function that runs the sub-flow."""
        found = self.find(step)
        inner = inner_flow(step) if found is NO_MOCK else None
        if inner is None or not any(map(self._has_mock, steps_within(inner.flow))):
            return found
        name, component = step.get("id"), step.get("component")
        is_stored = component == "/builtin/put_blob"
        if is_stored or not inner.is_as_written:
            why = f"{component} only stores it" if is_stored else "the flow computes it"
            message = f"step {name!r} contains a flow with mocked steps, and {why}: they cannot be mocked"
            raise InvalidArgumentError(message, hint=f"mock step {name!r}, or use the server's mock plugin")

        def run(flow: Data, inputs: Sequence[Any]) -> list[dict[str, Any]]:
            results = (self.run(flow, each, within=(*within, str(name))) for each in inputs)
            return [flow_result(done.output, done.error) for done in results]

        # In the input that the step gets, the defaults of the flow's variables are values.
        return lambda given: subflow_outcome(str(component), str(name), given, run)
