"""Result types: open enums, decoding, status flags, lists, reprs and HTML, constructors, pydantic models."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
import sys
import threading
import weakref
from collections.abc import AsyncGenerator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import fastapi
import pydantic
import pytest
from fastapi.testclient import TestClient
from stepflow_client import Outcome, OutcomeStream, SyncOutcomeStream, types
from stepflow_client._codec.call_checks import parse_declared_variables
from stepflow_client.errors import InvalidArgumentError, RunFailedError
from stepflow_client.events import RunCompletedEvent, RunEvent, UnknownEvent, decode_event
from stepflow_client.types import (
    ComponentInfo,
    ComponentList,
    Diagnostic,
    DiagnosticLevel,
    ErrorCode,
    ExecutionStatus,
    FailedPlugin,
    FlowError,
    FlowResult,
    FlowVariables,
    HealthResponse,
    ListItemsResponse,
    ListRunsResponse,
    ListStepsResponse,
    RunDetails,
    RunItem,
    RunItems,
    StepDetails,
    StoredFlow,
    ValidationResult,
)
from stepflow_client.types.model_base import Model, decode_model
from stepflow_client.types.statuses import get_status_number

RUN_ID = "01900000-0000-7000-8000-000000000001"


def details(**fields: Any) -> RunDetails:
    return decode_model(RunDetails, {"runId": RUN_ID, "flowId": "f", "status": 1, **fields})


def result(status: str, **fields: Any) -> FlowResult:
    return FlowResult(run_id=RUN_ID, status=ExecutionStatus(status), **fields)


# Enumerations


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (1, ExecutionStatus.RUNNING),
        (2, ExecutionStatus.COMPLETED),
        (3, ExecutionStatus.FAILED),
        (4, ExecutionStatus.CANCELLED),
        (5, ExecutionStatus.PAUSED),
        (6, ExecutionStatus.RECOVERY_FAILED),
    ],
)
def test_a_status_is_a_number_on_the_wire(number: int, status: ExecutionStatus) -> None:
    assert details(status=number).status is status
    assert details(status=status.value).status is status
    assert get_status_number(status) == number


@pytest.mark.parametrize(("number", "code"), list(enumerate(list(ErrorCode)[:10], start=1)))
def test_an_error_code_is_a_number_on_the_wire(number: int, code: ErrorCode) -> None:
    assert decode_model(FlowError, {"message": "m", "code": number}).code is code


def test_error_codes_are_in_wire_order() -> None:
    assert [code.value for code in ErrorCode] == [
        "timeout",
        "invalid_input",
        "component_failed",
        "cancelled",
        "unreachable",
        "component_not_found",
        "resource_unavailable",
        "expression_failed",
        "orchestrator",
        "worker",
        # The client's own, without a number.
        "lost",
        "lost_before_start",
        "invalid_output",
    ]
    assert decode_model(FlowError, {"message": "m", "code": 11}).code == "unknown_11"


@pytest.mark.parametrize(
    ("number", "level"), [(1, DiagnosticLevel.FATAL), (2, DiagnosticLevel.ERROR), (3, DiagnosticLevel.WARNING)]
)
def test_a_level_is_a_number_on_the_wire(number: int, level: DiagnosticLevel) -> None:
    assert decode_model(Diagnostic, {"level": number, "kind": "k", "code": 1, "formatted": "m"}).level is level


def test_an_unknown_number_becomes_a_new_member() -> None:
    status = details(status=99).status
    assert status == "unknown_99"
    assert status is ExecutionStatus("unknown_99")
    assert status.name == "UNKNOWN_99"
    assert get_status_number(status) == 99
    assert not status.is_finished
    assert isinstance(status, ExecutionStatus)
    assert status not in list(ExecutionStatus)
    assert FlowError(message="m", code=77).code == "unknown_77"  # type: ignore[arg-type]


def test_an_unknown_member_survives_pickle_and_copy() -> None:
    status = ExecutionStatus("from_the_future")
    assert pickle.loads(pickle.dumps(status)) is status
    assert copy.deepcopy(status) is status
    assert get_status_number(status) is None


def test_threads_get_the_same_member_for_a_new_status() -> None:
    barrier = threading.Barrier(8)
    members: list[ExecutionStatus] = []

    def look_up() -> None:
        barrier.wait()
        members.append(ExecutionStatus("met_by_threads"))

    threads = [threading.Thread(target=look_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(status) for status in members}) == 1
    assert len(members) == 8


@pytest.mark.parametrize("status", [True, 1.5, None, [], {"a": 1}])
def test_invalid_statuses_are_rejected(status: object) -> None:
    with pytest.raises(ValueError, match=r"^status must be a member of ExecutionStatus, not "):
        details(status=status)


@pytest.mark.parametrize(
    ("status", "is_finished"),
    [
        ("running", False),
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("paused", False),
        ("recovery_failed", True),
    ],
)
def test_which_statuses_are_finished(status: str, is_finished: bool) -> None:
    assert ExecutionStatus(status).is_finished is is_finished
    assert details(status=status).is_finished is is_finished


# Models


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-24T23:42:11.509354609Z", 509354),
        ("2026-11-24T23:42:11.999999999Z", 999999),
        ("2026-11-24T23:42:11.509354609+00:00", 509354),
        ("2026-11-24T23:42:11Z", 0),
    ],
)
def test_nanoseconds_are_truncated(text: str, microsecond: int) -> None:
    time = details(createdAt=text).created_at
    assert time == datetime(2026, 11, 24, 23, 42, 11, microsecond, UTC)
    assert time is not None
    assert time.utcoffset() == timedelta(0)
    assert decode_model(HealthResponse, {"status": "healthy", "timestamp": text}).timestamp == time


def test_fields_are_decoded_from_their_wire_names() -> None:
    wire = details(flowName="n", items={"total": 2, "completed": 1}, rootRunId="r", new_field=1)
    own = RunDetails(
        run_id=RUN_ID,
        flow_id="f",
        status=ExecutionStatus.RUNNING,
        flow_name="n",
        items=types.ItemCounts(total=2, completed=1),
        root_run_id="r",
    )
    assert wire == own
    assert not hasattr(wire, "new_field")
    assert decode_model(StoredFlow, {"flowId": "f", "flow": {}, "allExamples": [{"name": "x"}]}).examples[0].name == "x"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in types.__all__
        if isinstance(getattr(types, name), type) and issubclass(getattr(types, name), Model)
    ],
)
def test_every_model_is_a_documented_dataclass_with_slots(name: str) -> None:
    model: Any = getattr(types, name)
    assert is_dataclass(model)
    assert not hasattr(model, "__dict__") or "__dict__" not in {slot for each in model.__mro__ for slot in vars(each)}
    assert model.__doc__
    assert model.__doc__ != f"{name}{inspect.signature(model)}", "a docstring of its own"


def test_a_field_cannot_be_changed() -> None:
    run = details()
    with pytest.raises(FrozenInstanceError, match="cannot set 'status': RunDetails is immutable"):
        run.status = ExecutionStatus.FAILED  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot set 'stauts'"):
        run.stauts = ExecutionStatus.FAILED  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError, match="cannot delete 'status'"):
        del run.status
    assert pickle.loads(pickle.dumps(run)) == run


def test_a_component_list_names_failed_plugins() -> None:
    listed = ComponentList([ComponentInfo(name="a")], [FailedPlugin(plugin="p", error="e")])
    assert [component.name for component in listed] == ["a"]
    assert listed.failed_plugins[0].plugin == "p"
    again = pickle.loads(pickle.dumps(listed))
    assert again == listed
    assert again.failed_plugins == listed.failed_plugins


# Results


@pytest.mark.parametrize(
    ("status", "success", "failed", "cancelled"),
    [
        ("completed", True, False, False),
        ("failed", False, True, False),
        ("recovery_failed", False, True, False),
        ("cancelled", False, False, True),
        ("running", False, False, False),
        ("unknown_9", False, False, False),
    ],
)
def test_the_status_flags_of_a_result(status: str, success: bool, failed: bool, cancelled: bool) -> None:
    ended = result(status)
    assert (ended.is_success, ended.is_failed, ended.is_cancelled) == (success, failed, cancelled)


def test_raise_for_failure_returns_a_success() -> None:
    ended = result("completed", output=None)
    assert ended.raise_for_failure() is ended


def test_a_failure_names_run_step_and_reason() -> None:
    ended = result("failed", error=FlowError(message="no disk", step_id="save", code=ErrorCode.WORKER))
    with pytest.raises(RunFailedError) as caught:
        ended.raise_for_failure()
    assert str(caught.value) == f"run {RUN_ID} failed at step 'save': no disk"
    assert caught.value.run_id == RUN_ID
    assert caught.value.result is ended
    assert caught.value.details == ended.error


def test_a_failure_without_a_reason_names_the_status() -> None:
    with pytest.raises(RunFailedError, match=f"run {RUN_ID} is cancelled"):
        result("cancelled").raise_for_failure()
    with pytest.raises(RunFailedError, match="failed: boom"):
        result("failed", error=FlowError(message="boom")).raise_for_failure()


def test_diagnostics_by_level() -> None:
    diagnostics = [
        Diagnostic(level=level, kind="k", code=1, message=str(level)) for level in ("fatal", "error", "warning")
    ]
    validation = ValidationResult(
        diagnostics=[*diagnostics, Diagnostic(level="unknown_9", kind="k", code=1, message="new")]
    )
    assert not validation.is_valid
    assert [each.message for each in validation.errors] == ["fatal", "error"]
    assert [each.message for each in validation.warnings] == ["warning", "new"]
    assert ValidationResult(diagnostics=diagnostics[1:]).is_valid
    assert ValidationResult().is_valid
    invalid = ValidationResult(is_valid=False)
    assert (invalid.is_valid, invalid.valid, invalid) == (False, False, ValidationResult(valid=False))
    assert invalid.to_dict() == {"valid": False, "diagnostics": []}


# HTML for notebooks

MARKUP = "<script>alert('x')</script>&\"'"


@pytest.mark.parametrize(
    "shown",
    [
        result("completed", output={MARKUP: MARKUP}),
        result("completed", output=MARKUP),
        result("failed", error=FlowError(message=MARKUP, step_id=MARKUP)),
        RunDetails(run_id=MARKUP, flow_id="f", flow_name=MARKUP, status=ExecutionStatus(MARKUP)),
        ValidationResult(diagnostics=[Diagnostic(level=MARKUP, kind="k", code=1, message=MARKUP, path=MARKUP)]),
    ],
)
def test_html_is_escaped(shown: Any) -> None:
    html = shown._repr_html_()
    assert html.startswith("<table>")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_html_is_truncated() -> None:
    assert len(result("completed", output="x" * 100_000)._repr_html_()) < 5_000


def test_event_data_cannot_override_fields_of_the_client() -> None:
    own = {"cursor": "e9.9", "inferred": True, "type": "heartbeat", "sequence_number": 9, "sequenceNumber": 9}
    message = {"sequenceNumber": 1, "event": {"RunCompleted": {"runId": RUN_ID, "status": 2, **own}}}
    event = decode_event("another", message, "e1.1")
    assert isinstance(event, RunCompletedEvent)
    assert (event.cursor, event.inferred, event.type, event.sequence_number) == ("e1.1", False, "run_completed", 1)
    assert isinstance(event, RunEvent)
    new = decode_event(RUN_ID, {"sequenceNumber": 1, "event": {"ItemCompleted": {"itemIndex": 3}}}, "e1.1")
    assert isinstance(new, UnknownEvent)
    assert (new.type, new.name, new.run_id, new.data) == ("unknown", "item_completed", RUN_ID, {"itemIndex": 3})
    assert pickle.loads(pickle.dumps(new)) == new


# Lists


NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def listings() -> list[Any]:
    items = [RunItem(index=n, status=ExecutionStatus.COMPLETED, output={"n": n}) for n in range(4)]
    steps = [StepDetails(step_id=f"s{n}", status=ExecutionStatus.FAILED) for n in range(4)]
    runs = [
        RunDetails(run_id=RUN_ID, flow_id=f"f{n}", status=ExecutionStatus.RUNNING, created_at=NOON) for n in range(4)
    ]
    return [
        (ListItemsResponse(run_id=RUN_ID, items=items), items),
        (ListItemsResponse(run_id=RUN_ID, items=RunItems(items)), items),
        (ListStepsResponse(run_id=RUN_ID, steps=steps), steps),
        (ListRunsResponse(runs=runs), runs),
    ]


@pytest.mark.parametrize(("listing", "entries"), listings())
def test_a_listing_behaves_like_a_list(listing: Any, entries: list[Any]) -> None:
    assert list(listing) == entries
    assert len(listing) == 4
    assert listing[0] == entries[0]
    assert listing[-1] == entries[3]
    assert listing[1:3] == entries[1:3]
    assert listing[::-1] == entries[::-1]
    assert list(reversed(listing)) == entries[::-1]
    assert entries[2] in listing
    assert listing
    with pytest.raises(IndexError):
        listing[4]
    # It still behaves like any model: comparing, copying, pickling, repr and to_dict.
    assert listing == replace(listing) == copy.copy(listing) == copy.deepcopy(listing)
    assert repr(entries[1]) in repr(listing)
    assert pickle.loads(pickle.dumps(listing)) == listing
    assert set(listing.to_dict()) == {each.name for each in fields(listing)}


def test_an_empty_listing_is_false() -> None:
    assert not ListRunsResponse(runs=[])
    assert ListRunsResponse(runs=[]).to_dicts() == []


@pytest.mark.parametrize(("listing", "entries"), listings())
def test_rows_for_a_table(listing: Any, entries: list[Any]) -> None:
    rows = listing.to_dicts()
    assert [set(row) for row in rows] == [
        {*(each.name for each in fields(entry)), *entry._derived} for entry in entries
    ]
    assert [type(row["status"]) for row in rows] == [str] * 4
    assert [row["status"] for row in rows] == [each.status.value for each in entries]


def test_the_rows_of_runs_items_and_components(monkeypatch: pytest.MonkeyPatch) -> None:
    items, _, _, runs = (listing for listing, _ in listings())
    assert runs.to_dicts()[1]["created_at"] == "2026-11-25T12:00:00.000000Z"
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert runs.to_dataframe()[1]["created_at"] == NOON
    outcomes = [Outcome(index, None, "r", ExecutionStatus.COMPLETED, index) for index in (1, 0)]
    read = SyncOutcomeStream(each for each in [outcomes[:1], outcomes[1:]]).to_dataframe()
    assert read == [each.to_dict() for each in outcomes[::-1]]

    async def chunks() -> AsyncGenerator[list[Outcome[Any]], None]:
        yield outcomes

    assert asyncio.run(OutcomeStream(chunks()).to_dataframe()) == read
    assert runs.to_dicts()[1]["items"] == {"total": 0, "completed": 0, "running": 0, "failed": 0, "cancelled": 0}
    row = {"index": 3, "status": "completed", "run_id": "", "output": {"n": 3}, "error": None, "completed_at": None}
    assert items.to_dicts()[3] == row
    assert RunItems(items.items).to_dicts() == items.to_dicts()
    component = ComponentInfo(path="/python/echo")
    assert ComponentList([component]).to_dicts() == [
        {
            "name": "python/echo",
            "plugin": None,
            "path": "/python/echo",
            "description": None,
            "input_schema": None,
            "output_schema": None,
        }
    ]


def test_polars_infers_column_types_from_all_records(monkeypatch: pytest.MonkeyPatch) -> None:
    # By default, it only looks at the first 100 records, and rejects later values of another type.
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", SimpleNamespace(DataFrame=lambda rows, **options: (rows, options)))
    rows, options = listings()[0][0].to_dataframe()
    assert rows[3]["output"] == '{"n": 3}'
    assert options == {"infer_schema_length": None}


# Reprs


def test_reprs_hide_secret_values() -> None:
    declared = {
        "key": {"type": "string", "is_secret": True, "default": "s3cr3t-default", "examples": ["s3cr3t-example"]},
        "pin": {"type": "integer", "is_secret": True, "default": 48151623},
        "flag": {"type": "boolean", "is_secret": True, "default": True},
        "login": {"properties": {"password": {"is_secret": True, "default": "s3cr3t-inner"}}},
        "name": {"type": "string", "default": "visible"},
    }
    flow = {
        "schemas": {"properties": {"variables": {"properties": declared}}},
        "steps": [{"id": "a", "component": "/x", "input": {"k": {"$variable": "key", "default": "s3cr3t-spare"}}}],
        "output": {"quoted": "the key is s3cr3t-default", "number": 48151623},
    }
    read = parse_declared_variables(flow)
    stored = StoredFlow(flow_id="f", flow=flow)
    for shown in (repr(stored), str(stored), repr(FlowVariables(flow_id="f", variables=read)), repr(read)):
        assert "s3cr3t" not in shown
        assert "48151623" not in shown
        assert "***" in shown
        assert "visible" in shown
    # `is_secret: True` stays although it equals the secret default of 'flag'.
    hidden = stored.without_secrets().flow
    properties = hidden["schemas"]["properties"]["variables"]["properties"]
    assert properties["flag"] == {"type": "boolean", "is_secret": True, "default": "***"}
    assert hidden["output"] == {"quoted": "the key is ***", "number": "***"}
    assert hidden["steps"][0]["input"] == {"k": {"$variable": "key", "default": "***"}}
    # The objects themselves keep the values.
    assert read["key"].default == "s3cr3t-default"
    assert stored.flow == flow


def test_the_number_of_unknown_members_is_bounded() -> None:
    before = len(DiagnosticLevel._value2member_map_)
    members = [DiagnosticLevel(f"level-{number}") for number in range(3_000)]
    assert len(DiagnosticLevel._value2member_map_) <= before + 1_001
    assert [each.value for each in members] == [f"level-{number}" for number in range(3_000)]
    assert DiagnosticLevel("level-2999") == members[-1] == "level-2999"


# Dataclasses

FAILED = FlowResult(
    run_id=RUN_ID, status=ExecutionStatus.FAILED, error=FlowError(message="no", code=ErrorCode.TIMEOUT, hint="wait")
)


def test_statuses_times_and_objects_are_converted() -> None:
    made: Any = FlowResult
    again = made(**FAILED.to_dict())
    assert (again.status, again.error.code) == (ExecutionStatus.FAILED, ErrorCode.TIMEOUT)
    assert again == replace(FAILED, error=FlowError(message="no", code=ErrorCode.TIMEOUT))
    assert made(status="completed").is_success
    run = details(createdAt="2026-11-25T12:00:00Z", items={"total": 2})
    stored: Any = json.loads(json.dumps(run.to_dict()))
    assert RunDetails(**stored) == run
    assert ListRunsResponse(runs=(stored,)).runs == [run]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ValidationResult(valid=True, is_valid=False),
            "is_valid and valid are the same: pass only one of them",
        ),
        (lambda: FlowResult(output=1), "FlowResult requires a value for status"),
        (lambda: FlowResult("id"), "FlowResult takes keyword arguments only"),
        (lambda: FlowResult(status=1.5), "FlowResult.status must be a member of ExecutionStatus, not 1.5"),
        (lambda: FlowResult(status="failed", error="no"), "FlowResult.error must be a FlowError, not 'no'"),
        (lambda: details(items={"total": True}), "items.total must be an integer, not True"),
        (lambda: ValidationResult(diagnostics=[1]), "ValidationResult.diagnostics must be a Diagnostic, not 1"),
        (lambda: Diagnostic(level="error", message="m", is_experimental="no"), "is_experimental must be True or False"),
        (lambda: RunItem(index="1", status="failed"), "RunItem.index must be an integer, not '1'"),
        (lambda: replace(FAILED, outptu=1), "FlowResult has no field 'outptu' (did you mean 'output'?)"),
        (lambda: types.Outcome(*range(10)), "Outcome takes at most 9 positional arguments"),
        (lambda: types.Outcome(1, "k", None, "failed", index=2), "Outcome has two values for index"),
    ],
)
def test_invalid_constructor_arguments(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make()
    assert message in str(caught.value)


def test_dir_lists_only_the_public_names_of_a_result() -> None:
    assert [name for name in dir(FlowResult) if not name.startswith("_")] == [
        "cached_at", "error", "is_cancelled", "is_failed", "is_skipped", "is_success", "older_flow_id", "output",
        "raise_for_failure", "run_id", "status", "to_dict", "unwrap",
    ]  # fmt: skip
    assert list(inspect.signature(FlowResult).parameters) == [each.name for each in fields(FlowResult)]


def test_results_are_generic_and_weakly_referenceable() -> None:
    assert FlowResult[int](status=ExecutionStatus.COMPLETED, output=1).unwrap() == 1
    assert weakref.ref(FAILED)() is FAILED


def test_reprs_omit_defaults() -> None:
    assert (
        repr(FAILED) == f"FlowResult(run_id='{RUN_ID}', status='failed', error=FlowError(message='no', code='timeout'))"
    )
    assert repr(details()) == f"RunDetails(run_id='{RUN_ID}', flow_id='f', status='running')"


def test_models_without_lists_are_hashable() -> None:
    assert len({details(), details(), replace(details(), flow_name="n")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(FlowResult(status=ExecutionStatus.COMPLETED, output={}))


class ApiResponse(pydantic.BaseModel):
    result: FlowResult
    run: RunDetails | None = None


def test_results_are_fields_of_pydantic_models() -> None:
    response = ApiResponse(result=FAILED, run=details())
    assert response.result == FAILED
    dumped = json.loads(response.model_dump_json())
    assert dumped["result"] == FAILED.to_dict()
    assert ApiResponse(**dumped).run == details()
    with pytest.raises(pydantic.ValidationError, match="status"):
        ApiResponse.model_validate({"result": {"status": 1.5}})


@pytest.mark.parametrize("name", types.__all__)
def test_pydantic_knows_every_type(name: str) -> None:
    kind: Any = getattr(types, name)
    if isinstance(kind, type) and issubclass(kind, Model):
        assert pydantic.TypeAdapter(kind).json_schema()["title"] == kind.__name__


def test_a_result_is_a_fastapi_response_model() -> None:
    app = fastapi.FastAPI()

    @app.get("/result", response_model=FlowResult)
    def result() -> Any:
        return FAILED

    assert TestClient(app).get("/result").json() == FAILED.to_dict()
    assert "FlowResult" in app.openapi()["components"]["schemas"]


def test_pydantic_serializes_items_that_are_decoded_on_first_access() -> None:
    items = RunItems([{"output": 1}], lambda answer: RunItem(index=0, status=ExecutionStatus.COMPLETED, **answer))
    response = ListItemsResponse(run_id=RUN_ID, items=items)
    adapter = pydantic.TypeAdapter(ListItemsResponse)
    assert adapter.dump_python(response, mode="json") == response.to_dict()
    assert adapter.validate_json(adapter.dump_json(response)) == response
