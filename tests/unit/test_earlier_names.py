"""Names from the earlier packages (stepflow-core, stepflow-client, stepflow-runtime) still work.

Tests written for those packages construct results, diagnostics and components, and use these names.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import AsyncMock

import httpx
import pytest
import stepflow_client
from stepflow_client import (
    ComponentInfo,
    Diagnostic,
    DiagnosticLevel,
    ExecutionStatus,
    FlowError,
    FlowResult,
    LogConfig,
    LogEntry,
    RestartPolicy,
    StepflowClient,
    StepflowClientError,
    StepflowExecutor,
    StepflowRuntime,
    SyncStepflowClient,
    ValidationResult,
)

from tests.unit.both_twins import FLOW, RUN_ID, TWINS, URL, Server, call_with_handler

# Results


def test_a_success_can_be_constructed() -> None:
    result = FlowResult(status=ExecutionStatus.COMPLETED, output={"result": 42})
    assert (result.is_success, result.is_failed, result.is_skipped, result.is_cancelled) == (True, False, False, False)
    assert result.output == {"result": 42}
    assert result.error is None
    assert result.raise_for_failure() is result


def test_a_failure_can_be_constructed() -> None:
    result = FlowResult(status=ExecutionStatus.FAILED, error=FlowError(message="Bad request", details={"a": "b"}))
    assert (result.is_success, result.is_failed, result.is_skipped) == (False, True, False)
    assert result.output is None
    assert (result.error.message, result.error.code, result.error.details) == ("Bad request", None, {"a": "b"})
    with pytest.raises(StepflowClientError, match="the run failed: Bad request"):
        result.raise_for_failure()


def test_a_failure_always_has_an_error() -> None:
    for status in (ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED):
        result = FlowResult(status=status)
        assert result.is_failed
        assert result.error.message
    assert FlowResult(status=ExecutionStatus.CANCELLED).error is None


def test_no_result_is_skipped() -> None:
    assert not any(FlowResult(status=status).is_skipped for status in ExecutionStatus)


# Validation


def test_a_valid_flow() -> None:
    result = ValidationResult(valid=True, diagnostics=[])
    assert result.valid
    assert result.is_valid
    assert ValidationResult().valid
    assert ValidationResult(diagnostics=[Diagnostic(level=DiagnosticLevel.ERROR, message="m")]).valid


def test_an_invalid_flow() -> None:
    diagnostic = Diagnostic(level="error", message="Missing", path="$.input.name")
    result = ValidationResult(valid=False, diagnostics=[diagnostic])
    assert not result.valid
    assert not result.is_valid
    assert len(result.diagnostics) == len(result.errors) == 1
    assert (diagnostic.level, diagnostic.message) == ("error", "Missing")
    assert diagnostic.location == diagnostic.path == "$.input.name"
    fatal = ValidationResult(diagnostics=[Diagnostic(level=DiagnosticLevel.FATAL, message="m", path="$.steps")])
    assert not fatal.valid
    assert fatal.diagnostics[0].location == "$.steps"


# Components, logs, policies, errors


def test_a_component_can_be_constructed() -> None:
    schema = {"type": "object"}
    component = ComponentInfo(path="/my/component", description="It does", input_schema=schema, output_schema=schema)
    assert (component.path, component.description, component.input_schema, component.output_schema) == (
        "/my/component",
        "It does",
        schema,
        schema,
    )
    assert component.name == "my/component"
    assert ComponentInfo(name="eval", path="/builtin/eval").name == "eval"


def test_a_log_entry_can_be_constructed() -> None:
    now = datetime.now()
    entry = LogEntry(timestamp=now, level="info", message="m", target="test.module")
    assert (entry.timestamp, entry.level, entry.message, entry.target) == (now, "info", "m", "test.module")


def test_restart_policies_and_log_settings() -> None:
    policies = (RestartPolicy.NEVER, RestartPolicy.ON_FAILURE, RestartPolicy.ALWAYS)
    assert [policy.value for policy in policies] == ["never", "on_failure", "always"]
    settings = LogConfig()
    assert (settings.level, settings.capture) == (None, True)
    assert LogConfig(level="debug", capture=False).level == "debug"


def test_the_attributes_of_an_error() -> None:
    error = StepflowClientError("Bad request", status_code=400, details={"errors": ["one", "two"]})
    assert (str(error), error.status_code, error.details["errors"]) == ("Bad request", 400, ["one", "two"])
    without_details = StepflowClientError("Something went wrong")
    assert (str(without_details), without_details.status_code, without_details.details) == (
        "Something went wrong",
        None,
        None,
    )


# Clients


@pytest.mark.parametrize("client", [StepflowClient, SyncStepflowClient])
def test_the_url_of_a_client(client: Any) -> None:
    assert client("http://localhost:7837").url == client("http://localhost:7837/").url == "http://localhost:7837"
    assert client().url == "http://localhost:7837"


@pytest.mark.parametrize("kind", [StepflowClient, StepflowRuntime])
def test_clients_have_the_executor_methods(kind: Any) -> None:
    for name in ("url", "run", "submit", "get_result", "validate", "list_components"):
        assert hasattr(kind, name)


class Double:
    """An executor as users write it for their tests."""

    @property
    def url(self) -> str:
        return URL

    async def run(self, flow: str | Path, input: Any = None, overrides: Any = None, **_: Any) -> FlowResult:
        return FlowResult(status=ExecutionStatus.COMPLETED, output={"result": "ok"})

    async def submit(self, flow: str | Path, input: Any = None, overrides: Any = None, **_: Any) -> str:
        return "run-123"

    async def get_result(self, run_id: str, **_: Any) -> FlowResult:
        return FlowResult(status=ExecutionStatus.COMPLETED)

    async def validate(self, flow: str | Path, **_: Any) -> ValidationResult:
        return ValidationResult(valid=True, diagnostics=[])

    async def list_components(self, **_: Any) -> list[ComponentInfo]:
        return [ComponentInfo(path="/test", description="Test component")]


async def _use(executor: Any) -> list[Any]:
    result = await executor.run("workflow.yaml", {"x": 1})
    validation = await executor.validate("workflow.yaml")
    return [result.output, validation.valid, [each.path for each in await executor.list_components()]]


def test_a_test_double_implements_the_executor_protocol() -> None:
    double = Double()
    assert isinstance(double, StepflowExecutor)
    assert isinstance(StepflowClient(URL), StepflowExecutor)
    assert asyncio.run(_use(double)) == [{"result": "ok"}, True, ["/test"]]
    mock = AsyncMock(spec=StepflowExecutor, wraps=double)
    assert asyncio.run(_use(mock))[1] is True


def test_calls_with_the_earlier_arguments() -> None:
    server = Server()
    with SyncStepflowClient(URL, transport=httpx.MockTransport(server), timeout=60.0) as client:
        stored = client.store_flow(FLOW)
        run = client.create_run(flow_id=stored.flow_id, input={"x": 1})
        assert str(run.run_id) == RUN_ID
        assert client.get_run(str(run.run_id)).status is not None
        assert client.get_run_items(str(run.run_id)).items[0].index == 0
        assert client.health_check().status == "healthy"
        assert isinstance(client.submit(FLOW, {"x": 1}), str)
        assert client.run(FLOW, {"x": 1}).is_success
        assert client.validate(FLOW).valid
    bodies = [request.content for request in server.requests if request.url.path.endswith("/runs")]
    assert b'"input":[{"x":1}]' in bodies[0]


def test_the_earlier_names_are_typed() -> None:
    assert get_type_hints(FlowResult.is_skipped.fget)["return"] is bool
    assert get_type_hints(Diagnostic.location.fget)["return"] is str


# Unknown names


@pytest.mark.parametrize("name", ["Client", "StepflowError", "Nonsense"])
def test_an_unknown_name_of_the_package(name: str) -> None:
    assert not hasattr(stepflow_client, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(stepflow_client, name)
    with pytest.raises(ImportError, match=f"cannot import name '{name}'"):
        exec(f"from stepflow_client import {name}")


def test_python_suggests_the_nearest_name_of_the_package() -> None:
    program = "import stepflow_client; stepflow_client.StepflowCleint"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "Did you mean: 'StepflowClient'?" in done.stderr


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
def test_an_unknown_argument_of_a_client(kind: Any) -> None:
    for call in (kind, kind.from_env):
        with pytest.raises(TypeError, match=r"unknown argument 'tiemout' \(did you mean 'timeout'\?\)"):
            call(tiemout=1)
        with pytest.raises(TypeError, match=r"unknown argument 'url' \(known: base_url, timeout, "):
            call(url=URL)
    with pytest.raises(TypeError, match=r"unknown argument 'confg' \(did you mean 'config'\?\)"):
        StepflowRuntime.start(confg="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
def test_an_unknown_attribute_of_a_client(kind: Any) -> None:
    client = kind(URL)
    with pytest.raises(AttributeError, match="did you mean 'get_run_steps'"):
        client.get_run_stpes  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute '_private'$"):
        client._private  # noqa: B018


def test_an_unknown_attribute_of_a_handle() -> None:
    client = SyncStepflowClient(URL)
    for handle in (client.handle(RUN_ID), StepflowClient(URL).handle(RUN_ID)):
        with pytest.raises(AttributeError, match="did you mean 'details'"):
            handle.detials  # noqa: B018
        assert repr(copy.copy(handle)) == repr(pickle.loads(pickle.dumps(handle))) == repr(handle)


def test_an_unknown_argument_of_start_run() -> None:
    client = SyncStepflowClient(URL, transport=httpx.MockTransport(Server()))
    with pytest.raises(TypeError, match=r"unknown argument 'timout' \(did you mean 'timeout'\?\)"):
        client.start_run(FLOW, timout=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("twin", TWINS)
def test_an_unknown_argument_of_a_rerun(twin: str) -> None:
    server = Server()
    for method in ("start_rerun", "plan_rerun"):
        with pytest.raises(TypeError, match=r"unknown argument 'kep' \(did you mean 'keep'\?\)"):
            call_with_handler(
                twin, server, lambda client, method=method: getattr(client, method)(RUN_ID, kep="succeeded")
            )
    for name in ("idempotency_key", "labels", "variables_from_env"):
        with pytest.raises(TypeError, match=f"unknown argument '{name}'"):
            call_with_handler(twin, server, lambda client, name=name: client.plan_rerun(RUN_ID, **{name: None}))
    assert not server.requests
