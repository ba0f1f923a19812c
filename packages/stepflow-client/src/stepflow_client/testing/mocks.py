"""Runs of flows in which the test, not a worker, provides the outputs of some steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from .._data.arguments import check_instance, check_mapping, check_text
from ..errors import InvalidArgumentError
from ..flows.additions import pin_overrides, pinned_flow
from ..flows.file import FlowSource, load_flow
from ..flows.graph import steps_by_id

if TYPE_CHECKING:
    from .._shared.options import RunOptions
    from .._sync.client import SyncStepflowClient
    from ..types import FlowResult

__all__ = ["Mock", "StepflowMock", "pinned", "run_mocked"]

Mock = Any | Callable[[Any], Any]
"""The output of a step, any JSON value, or a function that is called with the step's input and returns the output."""


def pinned(
    client: SyncStepflowClient, flow: Mapping[str, Any], outputs: Mapping[str, Any]
) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """Return a flow and overrides with which steps return the given outputs without being executed."""
    if not outputs:
        return flow, None
    # 0.13 has a component that returns its input. With overrides, the flow, its id and its diagrams stay the same.
    components = client.list_components(include_schemas=False)
    if any(each.name in ("noop", "builtin/noop") for each in components):
        return flow, pin_overrides(outputs)
    return pinned_flow(flow, outputs), None


def run_mocked(
    client: SyncStepflowClient,
    flow: FlowSource,
    input: Any = None,
    *,
    mocks: Mapping[str, Mock],
    **options: Unpack[RunOptions],
) -> FlowResult:
    """Run a flow with some of its steps mocked, and return its result.

    Example:
        result = run_mocked(client, "answer.yaml", {"q": "?"}, mocks={"model": {"text": "42"}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": lambda given: {"eur": len(given)}})

    A mocked step is never executed; its component need not exist. A function is called once, with the step's input as
    the flow computes it; to compute it, the steps before it run one more time, mocked if they have mocks. The function
    is called whether or not a branch requires the step; an exception that it raises ends the call. If the step's input
    cannot be computed because a step before it fails, the function is not called.

    Args:
        client: A client of a server that routes `/builtin`.
        flow: The flow: a path, a mapping or an object.
        input: The input.
        mocks: Outputs, or functions, by step id.
        **options: The options of `SyncStepflowClient.run`, for each run.

    Raises:
        InvalidArgumentError: If the flow has no step with one of these ids.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    content = load_flow(flow)
    steps = steps_by_id(content)
    unknown = [name for name in check_mapping(mocks, "mocks") if name not in steps]
    if unknown:
        raise InvalidArgumentError(f"the flow has no step {unknown[0]!r} to mock")
    outputs = {name: mock for name, mock in mocks.items() if not callable(mock)}
    for name, step in steps.items():
        mock = mocks.get(name)
        if not callable(mock):
            continue
        given = _run_pinned(client, _probe(content, step), input, outputs, options)
        if given.is_success:
            outputs[name] = mock(given.output)
    return _run_pinned(client, content, input, outputs, options)


def _run_pinned(
    client: SyncStepflowClient, flow: Mapping[str, Any], input: Any, outputs: Mapping[str, Any], options: RunOptions
) -> FlowResult:
    steps = steps_by_id(flow)
    sent, overrides = pinned(client, flow, {name: output for name, output in outputs.items() if name in steps})
    # One item, even if it is a list.
    return client.run(sent, [input], overrides, **options)


def _probe(flow: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow whose output is the input of a step. Of the steps before it, only those that it needs run."""
    before: list[Any] = []
    for each in flow["steps"]:
        if each is step:
            break
        before.append({key: value for key, value in each.items() if key != "mustExecute"})
    return {**flow, "steps": before, "output": step.get("input")}


class StepflowMock:
    """Mocks for the runs of a test, for a single step, or for all steps with a component.

    Example:
        def test_price(stepflow_mock):
            stepflow_mock.component("/shop/price", lambda given: {"eur": 3})
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

    Steps of sub-flows, which `map` and `iterate` run, cannot be mocked.
    """

    def __init__(self, client: SyncStepflowClient) -> None:
        """Start without mocks, for runs of this client."""
        self._client = client
        self._steps: dict[str, Mock] = {}
        self._components: dict[str, Mock] = {}
        self.calls: list[tuple[str, Any]] = []
        """The step id and the input of each call of a mock function."""

    def step(self, step_id: str, mock: Mock) -> None:
        """Mock the step with this id: an output, or a function of the step's input."""
        self._steps[check_text(step_id, "step_id")] = mock

    def component(self, path: str, mock: Mock) -> None:
        """Mock all steps with this component, by the path in the flow: an output, or a function of the step's input."""
        self._components[check_text(path, "path")] = mock

    def run(self, flow: FlowSource, input: Any = None, **options: Unpack[RunOptions]) -> FlowResult:
        """Run a flow with the mocks for its steps, and return its result. See `run_mocked`."""
        content = load_flow(flow)
        mocks: dict[str, Mock] = {}
        for step_id, step in steps_by_id(content).items():
            component = step.get("component")
            if step_id in self._steps:
                mocks[step_id] = self._noted(step_id, self._steps[step_id])
            elif isinstance(component, str) and component in self._components:
                mocks[step_id] = self._noted(step_id, self._components[component])
        return run_mocked(self._client, content, input, mocks=mocks, **options)

    def _noted(self, step_id: str, mock: Mock) -> Mock:
        if not callable(mock):
            return mock

        def call(given: Any) -> Any:
            self.calls.append((step_id, given))
            return mock(given)

        return call
