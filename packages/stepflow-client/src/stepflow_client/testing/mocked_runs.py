"""Runs flows with the outcomes of some steps supplied by a test or a recording."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._base.suggestions import suggest_or_list
from .._base.text_formatting import short_json
from .._cases import mock_outcomes
from .._cases.mock_outcomes import Mock
from .._codec.call_checks import Variables
from .._data.arguments import argument_error, check_instance, check_mapping, check_seconds, check_text, file_path
from .._data.wire import MAX_LOCAL_DEPTH, check_json
from .._runs.pinned_steps import Delayed, Fails, pin_overrides, pinned_flow
from .._stores.atomic_file_writes import write_text
from .._sync.client import SyncStepflowClient
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.graph import find_inner_flow, get_steps_by_id, iter_steps
from ..flows.reading import FlowSource, load_flow, parse_content, read_file_bytes
from ..types import ErrorCode, FlowResult

_VERSION = 2


class Recording:
    """Recorded step outcomes, by flow, case, step and step input.

    Flows are identified by their path relative to the recording's folder, and inputs by a digest.
    """

    def __init__(self, path: str | os.PathLike[str], flows: Mapping[str, Any] | None = None) -> None:
        """Create a recording that can be saved to a file. It's empty by default."""
        self.path = file_path(path, "path")
        self._content: bytes = NOT_GIVEN
        """The file's content, if it was loaded."""
        recorded = {} if flows is None else check_mapping(flows, "flows")
        if not _is_mapping_of_depth(recorded, depth=4):
            raise argument_error("flows", "the recorded steps by flow, case, step and input", flows)
        self._flows: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
            name: {case: {step: dict(outcomes) for step, outcomes in steps.items()} for case, steps in cases.items()}
            for name, cases in recorded.items()
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Load a recording from a file.

        Raises:
            FlowFileError: If the file can't be read, isn't a recording, or is in an older version without step inputs.
        """
        content = read_file_bytes(path)
        value = parse_content(content, os.fsdecode(path))
        version = value.get("stepflow_recording") if isinstance(value, Mapping) else None
        if version == 1:
            message = f"{path} is a recording without step inputs; record it again with stepflow test --record"
            raise FlowFileError(message, path=str(path))
        flows = value.get("flows") if isinstance(value, Mapping) else None
        if version != _VERSION or not _is_mapping_of_depth(flows, depth=4):
            message = f"{path} is not a recording of steps; to write one, run stepflow test --record FILE"
            raise FlowFileError(message, path=str(path))
        loaded = cls(path, flows)
        loaded._content = content
        return loaded

    def steps(self, flow: str | os.PathLike[str], case: str) -> set[str]:
        """Return the IDs of a case's steps that have recorded outcomes."""
        return {*self._get_case_outcomes(flow, case)}

    def outcome(self, flow: str | os.PathLike[str], case: str, step_id: str, given: Any) -> Any:
        """Return a step's outcome for an input: its output, or `Fails`.

        Raises:
            InvalidArgumentError: If no outcome is recorded.
        """
        recorded = self._get_case_outcomes(flow, case).get(check_text(step_id, "step_id"), {}).get(_hash_input(given))
        if recorded is None:
            message = f"{self.path} has no outcome for step {step_id!r} with the input {short_json(given, 200)}"
            raise InvalidArgumentError(message, hint=f"record the case {case!r} again with stepflow test --record")
        return mock_outcomes.parse_mock(recorded)

    def add(
        self, flow: str | os.PathLike[str], case: str, step_id: str, given: Any, outcome: Mapping[str, Any]
    ) -> None:
        """Record a step's outcome (a flow result) for an input, replacing any earlier outcome for the same input."""
        steps = self._flows.setdefault(self._get_relative_flow_path(flow), {}).setdefault(check_text(case, "case"), {})
        recorded = dict(check_mapping(outcome, "outcome"))
        steps.setdefault(check_text(step_id, "step_id"), {})[_hash_input(given)] = recorded

    def forget(self, flow: str | os.PathLike[str], case: str, step_id: str) -> None:
        """Remove a step's outcomes."""
        self._get_case_outcomes(flow, case).pop(check_text(step_id, "step_id"), None)

    def save(self) -> None:
        """Save the recording as sorted JSON, so that a diff only shows the inputs and outcomes that changed.

        Raises:
            FlowFileError: If the file can't be written, or has changed since it was loaded.
        """
        value = {"stepflow_recording": _VERSION, "flows": self._flows}
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        write_text(self.path, text, expected_content=self._content)
        self._content = text.encode()

    def _get_case_outcomes(self, flow: str | os.PathLike[str], case: str) -> dict[str, dict[str, Any]]:
        """Return a case's recorded outcomes by step and input."""
        return self._flows.get(self._get_relative_flow_path(flow), {}).get(check_text(case, "case"), {})

    def _get_relative_flow_path(self, flow: str | os.PathLike[str]) -> str:
        return Path(os.path.relpath(file_path(flow, "flow").resolve(), self.path.resolve().parent)).as_posix()


def _hash_input(given: Any) -> str:
    """Return an input's digest, which doesn't depend on key order."""
    given = check_json(given, "given", max_depth=MAX_LOCAL_DEPTH)
    return hashlib.sha256(json.dumps(given, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_mapping_of_depth(value: object, depth: int) -> bool:
    if not isinstance(value, Mapping):
        return False
    return depth == 0 or all(_is_mapping_of_depth(part, depth - 1) for part in value.values())


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
    """Run a flow with some steps mocked and return its result.

    Example:
        result = run_mocked(client, "answer.yaml", {"q": "?"}, mocks={"model": {"text": "42"}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": lambda given: {"eur": len(given)}})
        result = run_mocked(client, "price.yaml", {"sku": "tea"}, mocks={"shop": Fails("COMPONENT_FAILED", "closed")})

    Mocked steps are never executed, so their components don't even have to exist. A failing mock's code and message
    appear wherever the client reports on the run. The step's `onError` still applies, and steps that read it fail as
    well.

    A mock function is called with the step's input, once per attempt if the step has `onError: retry`. To compute that
    input, the steps it depends on are run one more time (or mocked, if they have mocks). The same applies to `InTurn`.
    The function is called even if no branch needs the step, but not if the input can't be computed. Any exception that
    the function raises propagates to the caller of `run_mocked`.

    Mocks also apply to the sub-flows of `map` and `iterate`, at any depth. In that case, each element or iteration
    becomes a separate run, and the results of these runs become the outcome of the step that contains the sub-flow.

    Args:
        client: A client for a server that routes `/builtin`.
        flow: The flow, as a path, mapping or object.
        input: The input.
        mocks: Mocks by step ID, or by component path to mock all steps that use the component. Steps in sub-flows can
            be mocked as well.
        variables: Values for the flow's variables.
        check_input: Whether to reject input that doesn't match the flow's input schema. Defaults to True.
        timeout: Timeout for each run, in seconds. Defaults to no timeout.

    Raises:
        InvalidArgumentError: If a name in `mocks` doesn't match any step, if a mocked step is in a sub-flow whose steps
            can't be mocked, or if a mock has a delay but the server lacks `/builtin/sleep`.
    """
    check_instance(client, "client", SyncStepflowClient)
    content = load_flow(flow)
    runner = MockedFlowRunner(client, make_mock_finder(content, mocks), timeout, check_input)
    return runner.run(content, input, variables)


def make_mock_finder(flow: Mapping[str, Any], mocks: Mapping[str, Mock]) -> Callable[[Mapping[str, Any]], Mock]:
    """Return a function that looks up a step's mock by step ID, falling back to its component.

    Raises:
        InvalidArgumentError: If a name doesn't match any step.
    """
    steps = [*iter_steps(flow)]
    for name in check_mapping(mocks, "mocks"):
        is_path = str(name).startswith("/")
        names = dict.fromkeys(str(step.get("component" if is_path else "id")) for step in steps)
        if name not in names:
            what = f"step with the component {name!r}" if is_path else f"step {name!r}"
            hint = suggest_or_list(name, names, "its components" if is_path else "its steps")
            raise InvalidArgumentError(f"the flow has no {what} to mock", hint=hint)
    return lambda step: mocks.get(str(step.get("id")), mocks.get(str(step.get("component")), NO_MOCK))


class StepflowMock:
    """Mocks for the runs in a test, either for single steps or for all steps that use a component.

    Example:
        def test_price(stepflow_mock):
            stepflow_mock.mock("/shop/price", lambda given: {"eur": 3})
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

        def test_closed(stepflow_mock):
            stepflow_mock.mock("/shop/price", fails="COMPONENT_FAILED", message="closed")
            assert stepflow_mock.run("order.yaml", {"sku": "tea"}).error.message == "closed"
    """

    def __init__(self, client: SyncStepflowClient) -> None:
        """Start with no mocks. `client` runs the flows."""
        self._client = client
        self._mocks: dict[str, Mock] = {}
        self.calls: list[tuple[str, Any]] = []
        """The step ID and input of every call of a mock function and every use of an `InTurn`."""

    def mock(
        self,
        name: str,
        outcome: Mock = ...,
        *,
        fails: ErrorCode | str | None = None,
        message: str = "",
        delay: float = 0.0,
    ) -> None:
        """Mock a single step, or all steps that use a component, including steps in sub-flows.

        Args:
            name: A step ID, or a component path such as `/shop/price`. A mock for the step itself takes precedence.
            outcome: An output, a function of the step's input, or an `InTurn`.
            fails: Make the step fail with this code instead. Pass an `ErrorCode`, or its name in flow files (e.g.
                `COMPONENT_FAILED`).
            message: The error message.
            delay: How long the step takes, in seconds (since 0.13). Defaults to 0.

        Raises:
            InvalidArgumentError: If the code doesn't exist, or if not exactly one of `outcome` and `fails` is passed.
        """
        check_text(name, "name")
        if (outcome is ...) == (fails is None) or (message and fails is None):
            message = "a mock needs either an outcome, or fails and message"
            raise InvalidArgumentError(message, hint="for several outcomes, use InTurn")
        if message:
            check_text(message, "message")
        if fails is not None:
            outcome = Fails(fails, message) if message else Fails(fails)
        if check_seconds(delay, "delay", allow_zero=True):
            mock = outcome

            def compute_delayed(given: Any) -> Delayed:
                return Delayed(mock_outcomes.get_mock_outcome(mock, given), delay)

            outcome = compute_delayed if mock_outcomes.is_dynamic_mock(mock) else Delayed(mock, delay)
        self._mocks[name] = outcome

    def run(
        self, flow: FlowSource, input: Any = None, *, variables: Variables | None = None, timeout: float | None = None
    ) -> FlowResult:
        """Run a flow with its steps mocked and return the result. See `run_mocked`.

        Raises:
            InvalidArgumentError: If a mocked step ID or component doesn't match any step.
        """
        content = load_flow(flow)
        find = make_mock_finder(content, self._mocks)

        def find_recorded(step: Mapping[str, Any]) -> Mock:
            """Return a step's mock, wrapped to record its calls in `calls`."""
            mock = find(step)

            def call(input: Any) -> Any:
                self.calls.append((str(step.get("id")), input))
                return mock_outcomes.get_mock_outcome(mock, input)

            return call if mock_outcomes.is_dynamic_mock(mock) else mock

        return MockedFlowRunner(self._client, find_recorded, timeout).run(content, input, variables)


Data = Mapping[str, Any]
"""A flow, a step, or values by name."""
NO_MOCK: Any = object()
"""Sentinel for a step without a mock."""


class MockedRun(NamedTuple):
    """A run of a flow with mocked steps, or of a sub-flow inside one of its steps."""

    within: tuple[str, ...]
    """IDs of the steps containing the flow, outermost first. Empty for the outer flow."""
    input: Any
    result: FlowResult
    mocked: frozenset[str]
    """IDs of mocked steps."""
    variables: Any
    """The run's variables, or None."""


@dataclass
class MockedFlowRunner:
    """Runs flows with mocked steps, including steps in sub-flows."""

    client: SyncStepflowClient
    find: Callable[[Data], Mock]
    """Returns a step's mock, or `NO_MOCK`."""
    timeout: float | None
    """Timeout for each run in seconds, or None."""
    check_input: bool = True
    """Whether to reject input that doesn't match a flow's input schema."""
    runs: list[MockedRun] = field(default_factory=list)
    """Finished runs, in order of completion, not including runs that only compute a step's input."""

    def run(
        self, flow: Data, input: Any, variables: Variables | None = None, within: tuple[str, ...] = ()
    ) -> FlowResult:
        """Run a flow that is nested in the steps `within` and return its result."""
        steps, outcomes = get_steps_by_id(flow), dict[str, Any]()
        for step_id, step in steps.items():
            mock = self._find_or_build_mock(step, within)
            if mock is NO_MOCK:
                continue
            if mock_outcomes.is_dynamic_mock(mock):
                computed = self.compute_step_input(flow, step, input, outcomes, variables)
                if not computed.is_success:
                    continue
                mock = mock_outcomes.get_mock_outcome_after_retries(mock, computed.output, step)
            outcomes[step_id] = mock
        result = self._run_with_pinned_steps(flow, input, outcomes, variables)
        mocked = frozenset(step_id for step_id in outcomes if self._has_mock(steps[step_id]))
        self.runs.append(MockedRun(within, input, result, mocked, variables))
        return result

    def _has_mock(self, step: Data) -> bool:
        return self.find(step) is not NO_MOCK

    def compute_step_input(
        self, flow: Data, step: Data, input: Any, outcomes: Data, variables: Variables | None = None
    ) -> FlowResult:
        """Return a result whose output is a step's input. If the input can't be computed, the result is a failure.

        This runs the earlier steps that the input depends on, except those in `outcomes`.
        """
        before: list[Any] = []
        for earlier in takewhile(lambda earlier: earlier is not step, get_steps_by_id(flow).values()):
            before.append({key: value for key, value in earlier.items() if key != "mustExecute"})
        probe = {**flow, "steps": before, "output": step.get("input")}
        pins = {name: pin.outcome if isinstance(pin, Delayed) else pin for name, pin in outcomes.items()}
        return self._run_with_pinned_steps(probe, input, pins, variables)

    def _run_with_pinned_steps(self, flow: Data, input: Any, outcomes: Data, variables: Variables | None) -> FlowResult:
        """Run a flow in which some steps have fixed outcomes."""
        steps = get_steps_by_id(flow)
        pins = {step_id: outcome for step_id, outcome in outcomes.items() if step_id in steps}
        is_delayed = any(isinstance(pin, Delayed) for pin in pins.values())
        overrides = None
        if is_delayed and not self._server_has_noop:
            raise InvalidArgumentError("a mock with a delay needs /builtin/sleep, which this server does not have")
        if pins and self._server_has_noop and not is_delayed:
            # Prefer overrides, because they leave the flow, its ID and its diagrams unchanged.
            overrides = pin_overrides(pins)
        elif pins:
            flow = pinned_flow(flow, pins)
        options: dict[str, Any] = {"variables": variables, "check_input": self.check_input, "timeout": self.timeout}
        # Wrap the input in a list, so that an input that is already a list still counts as a single input.
        return self.client.run(flow, [input], overrides, **options)

    @cached_property
    def _server_has_noop(self) -> bool:
        """Whether the server has a component that returns its input."""
        listed = self.client.list_components(include_schemas=False)
        return any(component.name in ("noop", "builtin/noop") for component in listed)

    def _find_or_build_mock(self, step: Data, within: tuple[str, ...]) -> Mock:
        """Return a step's mock, or a function that runs the step's sub-flow if it contains mocked steps."""
        mock = self.find(step)
        inner = find_inner_flow(step) if mock is NO_MOCK else None
        if inner is None or not any(map(self._has_mock, iter_steps(inner.flow))):
            return mock
        name, component = step.get("id"), step.get("component")
        is_stored = component == "/builtin/put_blob"
        if is_stored or not inner.runs_as_written:
            reason = f"{component} only stores it" if is_stored else "the flow is computed"
            message = f"step {name!r} contains a flow whose steps cannot be mocked: {reason}"
            raise InvalidArgumentError(message, hint=f"mock step {name!r}, or use the server's mock plugin")

        def run_inner_flow(flow: Data, inputs: Sequence[Any]) -> list[dict[str, Any]]:
            results = (self.run(flow, input, within=(*within, str(name))) for input in inputs)
            return [mock_outcomes.make_outcome_dict(done.output, done.error) for done in results]

        # Take the flow from the step's computed input, where its variable defaults are already evaluated.
        return lambda given: mock_outcomes.run_map_or_iterate(str(component), str(name), given, run_inner_flow)
