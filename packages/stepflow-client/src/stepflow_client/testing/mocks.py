"""Runs of flows in which the test, not a worker, provides the outcomes of some steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._base.text import near
from .._data.arguments import check_instance, check_mapping, check_seconds, check_text
from ..errors import InvalidArgumentError
from ..flows.file import FlowSource, load_flow
from ..flows.graph import SUBFLOW_INPUTS, inner_flow
from ..flows.pins import Delayed, Fails, pin_overrides, pinned_flow
from .outcomes import Mock, flow_result, needs_input, of_flow_result, outcome_of, settled

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..types import ErrorCode, FlowResult

__all__ = ["NO_MOCK", "MockedFlow", "StepflowMock", "run_mocked", "steps_within"]


def run_mocked(
    client: SyncStepflowClient,
    flow: FlowSource,
    input: Any = None,
    *,
    mocks: Mapping[str, Mock],
    variables: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> FlowResult:
    """Run a flow with some of its steps mocked, and return its result.

    Example:
        result = run_mocked(client, "answer.yaml", {"q": "?"}, mocks={"model": {"text": "42"}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": lambda given: {"eur": len(given)}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": Fails("COMPONENT_FAILED", "closed")})

    A mocked step is never executed; its component need not exist. A step that fails has the code and the message of its
    mock, in all that the client returns about the run; its `onError` applies, and steps that read it fail with it.

    A function is called once, or once for each attempt if the step has `onError: retry`, with the step's input as the
    flow computes it; to compute it, the steps before it run one more time, mocked if they have mocks. The same holds
    for `InTurn`. The function is called whether or not a branch requires the step; an exception that it raises ends
    the call. If the step's input cannot be computed because a step before it fails, the function is not called.

    Mocks also apply to the steps of sub-flows that `map` and `iterate` run, at any depth: each element or turn is then
    a run of its own, and the step that contains the sub-flow is pinned to what they give.

    Args:
        client: A client of a server that routes `/builtin`.
        flow: The flow: a path, a mapping or an object.
        input: The input.
        mocks: Mocks by step id. An id names the steps with this id in the flow and in its sub-flows.
        variables: Values of the flow's variables.
        timeout: Seconds for each run. None, the default, sets no limit.

    Raises:
        InvalidArgumentError: If the flow has no step with one of these ids, a mocked step is in a sub-flow whose steps
            cannot be mocked, or a mock has a delay and the server no `/builtin/sleep` (before 0.13).
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    content = load_flow(flow)
    known = dict.fromkeys(str(step.get("id")) for step in steps_within(content))
    for step_id in check_mapping(mocks, "mocks"):
        if step_id not in known:
            raise InvalidArgumentError(
                f"the flow has no step {step_id!r} to mock", hint=near(step_id, known, "its steps")
            )
    mocked = MockedFlow(client, lambda step: mocks.get(str(step.get("id")), NO_MOCK), timeout)
    return mocked.run(content, input, variables)


NO_MOCK: Any = object()
"""In place of the mock of a step that has none."""


def steps_within(flow: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a flow, and those of the sub-flows in their inputs."""
    for step in _steps(flow):
        yield step
        inner = inner_flow(step)
        if inner is not None:
            yield from steps_within(inner.flow)


def _steps(flow: Any) -> list[Mapping[str, Any]]:
    steps = flow.get("steps") if isinstance(flow, Mapping) else None
    return [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []


class MockedFlow:
    """Runs flows whose steps, and the steps of whose sub-flows, may have mocks.

    Args:
        client: A client of the server.
        find: A function that returns the mock of a step, or `NO_MOCK`.
        timeout: Seconds for each run; None for no limit.
    """

    def __init__(
        self, client: SyncStepflowClient, find: Callable[[Mapping[str, Any]], Mock], timeout: float | None
    ) -> None:
        """Store the client and the mocks."""
        self._client = client
        self._find = find
        self._timeout = timeout

    def run(self, flow: Mapping[str, Any], input: Any, variables: Mapping[str, Any] | None = None) -> FlowResult:
        """Run a flow and return its result."""
        outcomes: dict[str, Any] = {}
        for step in _steps(flow):
            mock = self._mock_of(step)
            if mock is NO_MOCK:
                continue
            if needs_input(mock):
                given = self.input_of(flow, step, input, outcomes, variables)
                if not given.is_success:
                    continue
                mock = settled(mock, given.output, step)
            outcomes[step["id"]] = mock
        return self._pinned(flow, input, outcomes, variables)

    def input_of(
        self,
        flow: Mapping[str, Any],
        step: Mapping[str, Any],
        input: Any,
        outcomes: Mapping[str, Any],
        variables: Mapping[str, Any] | None = None,
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
        at_once = {name: each.outcome if isinstance(each, Delayed) else each for name, each in outcomes.items()}
        return self._pinned(probe, input, at_once, variables)

    def _pinned(
        self,
        flow: Mapping[str, Any],
        input: Any,
        outcomes: Mapping[str, Any],
        variables: Mapping[str, Any] | None,
    ) -> FlowResult:
        ids = [step.get("id") for step in _steps(flow)]
        known = {step_id: outcome for step_id, outcome in outcomes.items() if step_id in ids}
        sent, overrides = self._pins(flow, known)
        # One item, even if it is a list.
        return self._client.run(sent, [input], overrides, variables=variables, timeout=self._timeout)

    def _pins(
        self, flow: Mapping[str, Any], outcomes: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
        """Return the flow and the overrides with which these steps have these outcomes."""
        if not outcomes:
            return flow, None
        is_delayed = any(isinstance(each, Delayed) for each in outcomes.values())
        if is_delayed and not self._has_noop:
            raise InvalidArgumentError("a mock with a delay needs /builtin/sleep, which servers have from 0.13 on")
        # With overrides, the flow, its id and its diagrams stay the same.
        if self._has_noop and not is_delayed:
            return flow, pin_overrides(outcomes)
        return pinned_flow(flow, outcomes), None

    @cached_property
    def _has_noop(self) -> bool:
        """Whether the server has a component that returns its input, as 0.13 does."""
        listed = self._client.list_components(include_schemas=False)
        return any(each.name in ("noop", "builtin/noop") for each in listed)

    def _mock_of(self, step: Mapping[str, Any]) -> Mock:
        """Return the mock of a step; of one whose sub-flow has mocked steps, a function that runs the sub-flow."""
        found = self._find(step)
        inner = inner_flow(step) if found is NO_MOCK else None
        if inner is None or all(self._find(each) is NO_MOCK for each in steps_within(inner.flow)):
            return found
        name, component = step.get("id"), step.get("component")
        run = _SUB_RUNS.get(str(component))
        if run is None or not inner.is_as_written:
            why = f"{component} only stores it" if run is None else "the flow computes it"
            message = f"step {name!r} contains a flow with mocked steps, and {why}: they cannot be mocked"
            raise InvalidArgumentError(message, hint=f"mock step {name!r}, or use the server's mock plugin")
        key = SUBFLOW_INPUTS[str(component)]
        # In the input that the step gets, the defaults of the flow's variables are values.
        return lambda given: run(lambda input: self.run(given[key], input), given) or _refused(str(name))


_RunOne = Callable[[Any], "FlowResult"]


def _mapped(run: _RunOne, given: Mapping[str, Any]) -> Any:
    """Return the outcome of `/builtin/map`; None if it refuses its input. Failed elements do not fail the step."""
    if not isinstance(given.get("items"), list):
        return None
    results = [flow_result(done.output, done.error) for done in map(run, given["items"])]
    failed = sum(each["outcome"] == "failed" for each in results)
    return {"results": results, "successful": len(results) - failed, "failed": failed}


def _iterated(run: _RunOne, given: Mapping[str, Any]) -> Any:
    """Return the outcome of `/builtin/iterate`; None if it refuses its input. A turn that fails ends it."""
    limit = given.get("max_iterations")
    limit = 1000 if limit is None else limit
    if "initial_input" not in given or not isinstance(limit, int):
        return None
    value, turns = given["initial_input"], 0
    while turns < limit:
        result = run(value)
        turns += 1
        if result.error is not None:
            return of_flow_result(flow_result(None, result.error))
        output = result.output if isinstance(result.output, Mapping) else {}
        if "result" in output:
            return {"result": output["result"], "iterations": turns, "terminated": False}
        if "next" not in output:
            return Fails("INVALID_INPUT", "Workflow result must contain either 'result' or 'next' field")
        value = output["next"]
    return {"result": value, "iterations": turns, "terminated": True}


def _refused(name: str) -> Fails:
    """Return what servers say of a builtin component that refuses its input."""
    return Fails("UNREACHABLE", f'step "{name}" failed')


_SUB_RUNS = {"/builtin/map": _mapped, "/builtin/iterate": _iterated}


class StepflowMock:
    """Mocks for the runs of a test, for a single step, or for all steps with a component.

    Example:
        def test_price(stepflow_mock):
            stepflow_mock.component("/shop/price", lambda given: {"eur": 3})
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

        def test_closed(stepflow_mock):
            stepflow_mock.component("/shop/price", fails="COMPONENT_FAILED", message="closed")
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).error.message == "closed"
    """

    def __init__(self, client: SyncStepflowClient) -> None:
        """Start without mocks, for runs of this client."""
        self._client = client
        self._steps: dict[str, Mock] = {}
        self._components: dict[str, Mock] = {}
        self.calls: list[tuple[str, Any]] = []
        """The step id and the input of each call of a function, and of each use of an `InTurn`."""

    def step(
        self,
        step_id: str,
        mock: Mock = ...,
        *,
        fails: ErrorCode | str | None = None,
        message: str = "",
        delay: float = 0.0,
    ) -> None:
        """Mock the step with this id, also in sub-flows.

        Args:
            step_id: The id of the step.
            mock: An output, a function of the step's input, or `InTurn`.
            fails: The code with which the step fails instead: a word of flow files (`COMPONENT_FAILED`) or an
                `ErrorCode`.
            message: The message of the failure.
            delay: Duration of the step in seconds; needs a server of 0.13. Default 0.

        Raises:
            InvalidArgumentError: If there is no such code, or not exactly one of `mock` and `fails` is given.
        """
        self._steps[check_text(step_id, "step_id")] = _told(mock, fails, message, delay)

    def component(
        self,
        path: str,
        mock: Mock = ...,
        *,
        fails: ErrorCode | str | None = None,
        message: str = "",
        delay: float = 0.0,
    ) -> None:
        """Mock all steps with this component, also in sub-flows.

        Args:
            path: The component's path in the flow.
            mock: An output, a function of a step's input, or `InTurn`.
            fails: The code with which the steps fail instead, as for `step`.
            message: The message of the failure.
            delay: Duration of each step in seconds; needs a server of 0.13. Default 0.

        Raises:
            InvalidArgumentError: If there is no such code, or not exactly one of `mock` and `fails` is given.
        """
        self._components[check_text(path, "path")] = _told(mock, fails, message, delay)

    def run(
        self,
        flow: FlowSource,
        input: Any = None,
        *,
        variables: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> FlowResult:
        """Run a flow with the mocks for its steps, and return its result. See `run_mocked`.

        Raises:
            InvalidArgumentError: If no step of the flow has one of the mocked ids or components.
        """
        content = load_flow(flow)
        self._check(content)
        return MockedFlow(self._client, self._find, timeout).run(content, input, variables)

    def _check(self, flow: Mapping[str, Any]) -> None:
        steps = [*steps_within(flow)]
        for mocked, key, what in ((self._steps, "id", "steps"), (self._components, "component", "components")):
            known = dict.fromkeys(str(step.get(key)) for step in steps)
            for name in mocked:
                if name not in known:
                    has = f"has no step {name!r}" if key == "id" else f"has no step with the component {name!r}"
                    raise InvalidArgumentError(f"the flow {has} to mock", hint=near(name, known, f"its {what}"))

    def _find(self, step: Mapping[str, Any]) -> Mock:
        step_id, component = str(step.get("id")), str(step.get("component"))
        mock = self._steps.get(step_id, self._components.get(component, NO_MOCK))
        return self._noted(step_id, mock) if needs_input(mock) else mock

    def _noted(self, step_id: str, mock: Mock) -> Mock:
        def call(given: Any) -> Any:
            self.calls.append((step_id, given))
            return outcome_of(mock, given)

        return call


def _told(mock: Mock, fails: ErrorCode | str | None, message: str, delay: float) -> Mock:
    if (mock is ...) == (fails is None) or (message and fails is None):
        raise InvalidArgumentError("a mock has an outcome, or fails and message", hint="InTurn gives several outcomes")
    if message:
        check_text(message, "message")
    if fails is not None:
        mock = Fails(fails, message) if message else Fails(fails)
    if not check_seconds(delay, "delay", zero=True):
        return mock
    if needs_input(mock):
        return lambda given: Delayed(outcome_of(mock, given), delay)
    return Delayed(mock, delay)
