"""Commands show the failed step of a run and the steps that were not run because of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


def noop_step(name: str, value: Any) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/noop", "input": {"value": value}}


PAYMENT: dict[str, Any] = {
    "name": "payment",
    "steps": [
        noop_step("load_order", 1),
        noop_step("charge_card", {"$input": "$.card"}),
        noop_step("send_receipt", {"$step": "charge_card"}),
        noop_step("update_ledger", {"$step": "send_receipt"}),
        noop_step("refund", 1),
    ],
    "output": [
        {"$step": "load_order"},
        {"$step": "update_ledger"},
        {"$if": {"$input": "$.refunded"}, "then": {"$step": "refund"}},
    ],
}


@pytest.fixture
def unpaid(start: Start) -> str:
    """A run whose second step failed."""
    return start(PAYMENT)


def test_formats(stepflow: Stepflow, unpaid: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "get", unpaid),
        stepflow("runs", "get", unpaid, "--json"),
        stepflow("runs", "steps", unpaid),
        stepflow("runs", "steps", unpaid, "-o", "jsonl"),
        stepflow("runs", "steps", unpaid, "--step", "send_receipt"),
        stepflow("runs", "steps", unpaid, "--fields", "step_id,status,state,because_of"),
        stepflow("runs", "watch", unpaid),
    )


def test_on_a_terminal(terminal: Callable[..., Terminal], unpaid: str, golden: Golden) -> None:
    golden(*(terminal("runs", command, unpaid, width=100) for command in ("steps", "watch")))


def test_batch(stepflow: Stepflow, start: Start, golden: Golden) -> None:
    run_id = start(PAYMENT | {"name": "payments"}, [{"card": "1"}, {}, {"card": "2"}, {}])
    golden(
        stepflow("runs", "get", run_id),
        stepflow("runs", "steps", run_id, "--fields", "item_index,step_id,state,because_of", "-o", "jsonl"),
    )


def test_diff_shows_steps_that_were_not_run(stepflow: Stepflow, start: Start, unpaid: str) -> None:
    paid = start(PAYMENT, [{"card": "1"}])
    shown = json.loads(stepflow("runs", "diff", paid, unpaid, "-o", "json").stdout)
    changes = {each["path"]: each["b"] for each in shown}
    assert changes["$.steps.charge_card.status"] == "failed"
    assert changes["$.steps.send_receipt.status"] == "not_run"
    assert "$.steps.send_receipt.error" not in changes


def test_report(stepflow: Stepflow, unpaid: str) -> None:
    stepflow("runs", "report", unpaid, "-O", "report.html")
    page = Path(stepflow.folder, "report.html").read_text("utf-8")
    assert page.count("not run (charge_card failed)") == 2
    assert "not needed" in page
    assert 'class="sf-node sf-step sf-is-not_run"' in page
    # Steps that were not run have no bar in the timeline.
    assert "send_receipt: " not in page


@pytest.mark.usefixtures("server")
def test_rejected_input_field_is_named(stepflow: Stepflow) -> None:
    step = {"id": "greet", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}}
    flow = {"name": "greeting", "steps": [step], "output": {"$step": "greet"}}
    Path(stepflow.folder, "greeting.json").write_text(json.dumps(flow))
    done = stepflow("run", "greeting.json", "--input-json", '{"name": 5}')
    assert done.code == 1
    hint = done.stderr.partition("hint: ")[2]
    assert hint.startswith("component /builtin/create_messages rejects its input: the schema expects string, not")
    assert "(at $.user_prompt)" in hint
