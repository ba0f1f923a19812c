"""Tests for the support desk, with its real worker and with a mock."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import night_shift
import pytest
from app import FLOW, app
from fastapi.testclient import TestClient
from stepflow_client import StepflowRuntime

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(HERE)
        with StepflowRuntime.start(HERE / "stepflow-config.yaml") as runtime:
            here.setenv("STEPFLOW_URL", runtime.url)
            yield runtime.url


@pytest.fixture
def web(url: str) -> Iterator[TestClient]:
    with TestClient(app) as web:
        yield web


def ticket(text: str) -> dict[str, Any]:
    return {"id": f"t-{time.time_ns()}", "text": text}


def test_a_ticket_gets_a_reply_and_runs_once(web: TestClient) -> None:
    sent = ticket("My tea is cold.")
    first, again = (web.post("/tickets", json=sent) for _ in range(2))
    assert (first.status_code, again.json()) == (202, first.json())
    reply = web.get(f"/tickets/{first.json()['run_id']}", params={"wait": 20})
    assert reply.json() == {"ticket": sent["id"], "reply": "Hello! You wrote: My tea is cold."}
    changed = web.post("/tickets", json=sent | {"text": "My tea is hot."})
    assert (changed.status_code, changed.json()["error"]) == (422, "idempotency_conflict")


def test_a_reply_that_takes_longer(web: TestClient) -> None:
    run_id = web.post("/tickets", json=ticket("slow")).json()["run_id"]
    early = web.get(f"/tickets/{run_id}")
    assert (early.status_code, early.json()["status"]) == (202, "running")
    assert web.get(f"/tickets/{run_id}", params={"wait": 20}).status_code == 200


def test_a_failure_is_a_problem(web: TestClient) -> None:
    run_id = web.post("/tickets", json=ticket("please refuse")).json()["run_id"]
    failed = web.get(f"/tickets/{run_id}", params={"wait": 20})
    assert (failed.status_code, failed.json()["step_id"]) == (502, "draft")
    missing = web.get("/tickets/0199d2a4-0000-7000-8000-000000000001")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert web.get("/tickets/nonsense").status_code == 422


def test_events_end(web: TestClient) -> None:
    run_id = web.post("/tickets", json=ticket("events")).json()["run_id"]
    frames = web.get(f"/tickets/{run_id}/events").text
    assert "event: end\n" in frames
    last = [line.removeprefix("id: ") for line in frames.splitlines() if line.startswith("id: ")][-1]
    assert web.get(f"/tickets/{run_id}/events", headers={"last-event-id": last}).status_code == 204


def test_a_ticket_is_cancelled(web: TestClient) -> None:
    run_id = web.post("/tickets", json=ticket("slow slow slow slow slow")).json()["run_id"]
    assert web.delete(f"/tickets/{run_id}").status_code == 204
    assert web.get(f"/tickets/{run_id}", params={"wait": 20}).json()["error"] == "run_failed"


def test_the_night_shift(url: str, tmp_path: Path) -> None:
    rows = ["id,text", *(f"n{number},Ticket {number}" for number in range(40)), "bad,please refuse"]
    tickets, replies = tmp_path / "tickets.csv", tmp_path / "replies.jsonl"
    tickets.write_text("\n".join(rows) + "\n")
    assert night_shift.main(str(tickets), str(replies)) == 1
    found = [json.loads(line) for line in replies.read_text().splitlines()]
    assert {each["key"] for each in found if each["status"] == "failed"} == {"bad"}
    assert len(found) == 41


def test_a_reply_without_a_worker(stepflow_mock: Any) -> None:
    stepflow_mock.mock("/support/draft", lambda given: {"reply": given["tone"]})
    assert stepflow_mock.run(FLOW, {"id": "1", "text": "Hi"}).output == {"ticket": "1", "reply": "friendly"}
