"""Runs of flows in which a test provides the outcomes of some steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._base.text import near
from .._cases.mock_outcomes import Mock, needs_input, outcome_of
from .._data.arguments import check_flag, check_instance, check_mapping, check_seconds, check_text
from .._runs.pins import Delayed, Fails
from ..errors import InvalidArgumentError
from ..flows.flow_argument import FlowSource, load_flow
from ..flows.graph import steps_within
from .mocked_flow import NO_MOCK, MockedFlow

if TYPE_CHECKING:
    from .._codec.requests import Variables
    from .._sync.client import SyncStepflowClient
    from ..types import ErrorCode, FlowResult


def run_mocked(
    client: SyncStepflowClient,
    flow: FlowSource,
    input: Any = None,
    *,
    mocks: Mapping[str, Mock],
    variables: Variables | None = None,
    check_input: bool = True,
    timeout: float | None = None,
) -> FlowResult:
    """Run a flow with some of its steps mocked, and return its result.

    Example:
        result = run_mocked(client, "answer.yaml", {"q": "?"}, mocks={"model": {"text": "42"}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": lambda given: {"eur": len(given)}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": Fails("COMPONENT_FAILED", "closed")})

    A mocked step is never executed; its component need not exist. A step that fails has the code and the message of its
    mock, in all that the client returns about the run; its `onError` applies, and steps that read it fail with it.

    A function is called with the step's input, once for each attempt if the step has `onError: retry`. To compute the
    input, earlier steps run one more time, mocked if they have mocks. The same applies to `InTurn`. The function is
    called even if no branch requires the step, but not if an earlier step fails and there is no input. An exception in
    the function is raised from this call.

    Mocks also apply to the sub-flows of `map` and `iterate`, at any depth: each element or turn is then a run of its
    own, and the step that contains the sub-flow is pinned to their results.

    Args:
        client: A client of a server that routes `/builtin`.
        flow: The flow: a path, a mapping or an object.
        input: The input.
        mocks: Mocks by step id, or by the path of a component for all steps with it; also for steps of sub-flows.
        variables: Values of the flow's variables.
        check_input: Whether to refuse input that does not match the flow's input schema. Default True.
        timeout: Seconds for each run. None, the default, sets no limit.

    Raises:
        InvalidArgumentError: If the flow has no step with one of the names, a mocked step is in a sub-flow whose steps
            cannot be mocked, or a mock has a delay and the server no `/builtin/sleep`.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    content = load_flow(flow)
    check_flag(check_input, "check_input")
    return MockedFlow(client, finder(content, mocks), timeout, check_input).run(content, input, variables)


def finder(flow: Mapping[str, Any], mocks: Mapping[str, Mock]) -> Callable[[Mapping[str, Any]], Mock]:
    """Return a function that returns the mock of a step, by its id or else by its component.

    Raises:
        InvalidArgumentError: If the flow has no step with one of the names.
    """
    steps = [*steps_within(flow)]
    for name in check_mapping(mocks, "mocks"):
        is_path = str(name).startswith("/")
        names = dict.fromkeys(str(step.get("component" if is_path else "id")) for step in steps)
        if name not in names:
            what = f"step with the component {name!r}" if is_path else f"step {name!r}"
            hint = near(name, names, "its components" if is_path else "its steps")
            raise InvalidArgumentError(f"the flow has no {what} to mock", hint=hint)
    return lambda step: mocks.get(str(step.get("id")), mocks.get(str(step.get("component")), NO_MOCK))


class StepflowMock:
    """Mocks for the runs of a test, of a step or of all steps with a component.

    Example:
        def test_price(stepflow_mock):
            stepflow_mock.mock("/shop/price", lambda given: {"eur": 3})
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

        def test_closed(stepflow_mock):
            stepflow_mock.mock("/shop/price", fails="COMPONENT_FAILED", message="closed")
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).error.message == "closed"
    """

    def __init__(self, client: SyncStepflowClient) -> None:
        """Start without mocks, for runs of this client."""
        self._client = client
        self._mocks: dict[str, Mock] = {}
        self.calls: list[tuple[str, Any]] = []
        """The step id and the input of each call of a function, and of each use of an `InTurn`."""

    def mock(
        self,
        name: str,
        outcome: Mock = ...,
        *,
        fails: ErrorCode | str | None = None,
        message: str = "",
        delay: float = 0.0,
    ) -> None:
        """Mock the step with an id, or all steps with a component, also in sub-flows.

        Args:
            name: The id of a step, or the path of a component, such as `/shop/price`. The mock of a step takes
                precedence.
            outcome: An output, a function of a step's input, or `InTurn`.
            fails: The code with which the step fails instead: a word of flow files (`COMPONENT_FAILED`) or an
                `ErrorCode`.
            message: The message of the failure.
            delay: Duration of the step in seconds; 0.13 and newer. Default 0.

        Raises:
            InvalidArgumentError: If there is no such code, or not exactly one of `outcome` and `fails` is given.
        """
        check_text(name, "name")
        if (outcome is ...) == (fails is None) or (message and fails is None):
            raise InvalidArgumentError(
                "a mock needs either an outcome, or fails and message", hint="for several outcomes, use InTurn"
            )
        if message:
            check_text(message, "message")
        if fails is not None:
            outcome = Fails(fails, message) if message else Fails(fails)
        if check_seconds(delay, "delay", zero=True):
            mock = outcome
            outcome = (
                (lambda given: Delayed(outcome_of(mock, given), delay)) if needs_input(mock) else Delayed(mock, delay)
            )
        self._mocks[name] = outcome

    def run(
        self,
        flow: FlowSource,
        input: Any = None,
        *,
        variables: Variables | None = None,
        timeout: float | None = None,
    ) -> FlowResult:
        """Run a flow with the mocks for its steps, and return its result. See `run_mocked`.

        Raises:
            InvalidArgumentError: If no step of the flow has one of the mocked ids or components.
        """
        content = load_flow(flow)
        find = finder(content, self._mocks)

        def find_recorded(step: Mapping[str, Any]) -> Mock:
            """Return the mock of a step, which adds its calls to `calls`."""
            mock = find(step)

            def call(input: Any) -> Any:
                self.calls.append((str(step.get("id")), input))
                return outcome_of(mock, input)

            return call if needs_input(mock) else mock

        return MockedFlow(self._client, find_recorded, timeout).run(content, input, variables)
