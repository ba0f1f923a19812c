"""Plain records say what the usual types say, and leave to them what is not usual."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from stepflow_cli.records.runs import run_record
from stepflow_client import RunDetails
from stepflow_client._codec import json_bodies, responses
from stepflow_client._sync.plain import plain_runs
from stepflow_client.errors import InvalidResponseError
from stepflow_client.plain import PlainRun

RUN_ID = "01900000-0000-7000-8000-000000000001"
ITEMS = {"total": 3, "completed": 1, "running": 0, "failed": 2, "cancelled": 0}
SUMMARY: dict[str, Any] = {
    "runId": RUN_ID,
    "flowId": "f" * 64,
    "flowName": "flów",
    "status": 3,
    "items": ITEMS,
    "createdAt": "2026-11-25T10:00:00.123456789Z",
    "completedAt": "2026-11-25T10:00:01Z",
    "rootRunId": RUN_ID,
    "orchestratorId": "one",
    "somethingNew": {"a": 1},
}


def listed(**fields: Any) -> dict[str, Any]:
    return {"runs": [{**SUMMARY, **fields}]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"runId": RUN_ID.upper()},
        {"status": "completed"},
        *({"status": number} for number in range(1, 7)),
        {"flowName": None, "parentRunId": RUN_ID, "completedAt": None, "status": 2},
        {"items": {}},
        {"createdAt": "2026-11-25T10:00:00.1+00:00"},
    ],
)
def test_the_usual_is_read_plainly_and_alike(fields: dict[str, Any]) -> None:
    (plain,), (usual,) = plain_runs(listed(**fields)), responses.runs(listed(**fields)).runs
    assert isinstance(plain, PlainRun)
    assert (plain.run_id, plain.created_at, plain.is_finished) == (usual.run_id, usual.created_at, usual.is_finished)
    record, expected = run_record(plain), run_record(usual)
    assert list(record) == list(expected), "a field of RunDetails is read in run_fields of _codec/summaries.py too"
    assert record == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 9},
        {"createdAt": "2026-11-25T12:00:00+02:00"},
        {"createdAt": 1_700_000_000},
        {"items": {"total": 3.0}},
        {"items": {"total": "3"}},
        {"flow_name": "by its own name"},
        {"flowName": "\ud800"},
    ],
)
def test_the_unusual_is_read_by_the_usual_types(fields: dict[str, Any]) -> None:
    read, usual = plain_runs(listed(**fields)), responses.runs(listed(**fields)).runs
    assert read == usual
    assert all(isinstance(run, RunDetails) for run in read)


@pytest.mark.parametrize(
    "fields",
    [
        {"createdAt": "2026-13-25T10:00:00Z"},
        {"createdAt": "yesterday"},
        {"items": None},
        {"items": {"total": True, "failed": "many"}},
        {"flowName": 5},
        {"status": None},
        {"status": {}},
        {"runId": "x"},
    ],
)
def test_what_the_usual_types_refuse_is_the_same_error(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError) as expected:
        json_bodies.build(responses.runs, listed(**fields), "GET /runs")
    with pytest.raises(InvalidResponseError) as found:
        json_bodies.build(plain_runs, listed(**fields), "GET /runs")
    assert found.value.message == expected.value.message


def test_a_client_is_imported_without_what_it_may_not_need() -> None:
    heavy = ("pydantic", "attrs", "httpx", "yaml", "asyncio", "ssl", "email", "subprocess", "pickle", "rich")
    code = "\n".join(
        [
            "import sys",
            "from stepflow_client import SyncStepflowClient",
            "from stepflow_client._sync import plain",
            "SyncStepflowClient('http://localhost:1').close()",
            f"print([name for name in {heavy!r} if name in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
