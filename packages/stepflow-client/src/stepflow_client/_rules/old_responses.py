"""Converts the parts of older servers' responses to the current format: runs, items, steps, results. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..types.statuses import NO_ROUTE

STATUSES = {"running": 1, "completed": 2, "failed": 3, "cancelled": 4, "paused": 5, "recoveryFailed": 6}
STATUS_WORDS = {str(number): word for word, number in STATUSES.items()}
LEVELS = {"fatal": 1, "error": 2, "warning": 3}
_ERROR_CODES = {
    500: 3,  # 0.10 uses one code for everything that fails in a step
    -32100: 3,
    -32300: 3,
    1: 8,
    -32200: 8,
    -32001: 6,
    -32202: 9,
}
_COMPONENT_FAILED, _ORCHESTRATOR = 3, 9
_STEP_IN_TEXT = re.compile(r"""\bstep ["'](?P<id>[^"']+)["']""")


class ShapeChangedError(Exception):
    """The response already has the current format: the URL now leads to another server."""


def current_health(body: dict[str, Any]) -> dict[str, Any]:
    """Return an older server's health with the fields of the current format; the fields of the build stay empty."""
    unknown = {"gitVersion": "", "dirty": False, "rustcVersion": "", "profile": "", "features": [], "target": ""}
    return {"build": unknown, **body}


def current_components(body: dict[str, Any]) -> dict[str, Any]:
    """Return a list of components with the current field names; 0.12 and older use different ones."""
    names = {"component": "componentId", "input_schema": "inputSchema", "output_schema": "outputSchema"}
    components = [{names.get(key, key): value for key, value in each.items()} for each in body.get("components") or []]
    for each in components:
        each.setdefault("path", each.get("componentId"))
        # Not sent before 0.13, but required by the current format.
        each.setdefault("plugin", "")
    return {**body, "components": components}


def flat_run(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or "runId" not in body:
        if isinstance(body, dict) and "summary" in body:
            raise ShapeChangedError
        return {}
    return body


_SUMMARY = (
    "runId",
    "flowId",
    "flowName",
    "items",
    "createdAt",
    "completedAt",
    "rootRunId",
    "parentRunId",
    "orchestratorId",
    "createdAtSeqno",
    "finishedAtSeqno",
)


def summary_of(run: Mapping[str, Any]) -> dict[str, Any]:
    # Old servers send null for fields that the current format omits.
    known = {key: run[key] for key in _SUMMARY if run.get(key) is not None}
    return {"createdAtSeqno": 0, **known, "status": STATUSES.get(run["status"], run["status"])}


def item_of(item: Mapping[str, Any]) -> dict[str, Any]:
    translated = {"itemIndex": item["itemIndex"], "status": STATUSES.get(item["status"], item["status"])}
    if item.get("completedAt") is not None:
        translated["completedAt"] = item["completedAt"]
    return {**translated, **outcome_of(item.get("result"))}


def outcome_of(result: Any) -> dict[str, Any]:
    """Translate a tagged result. A null output stays different from no output."""
    if not isinstance(result, dict):
        return {}
    if "error" not in result:
        return {"output": result["result"]} if "result" in result else {}
    error = result["error"]
    stack = [each for each in ((error.get("data") or {}).get("stack") or []) if isinstance(each, dict)]
    message = str(error.get("message") or "")
    causes = [str(each["error"]) for each in stack if each.get("error")]
    texts = [message, *causes, *(str(text) for each in stack for text in each.get("attachments") or [])]
    step = next((match["id"] for match in map(_STEP_IN_TEXT.search, texts) if match), None)
    code = _ERROR_CODES.get(error.get("code"))
    if code == _COMPONENT_FAILED and message == NO_ROUTE:
        code = _ORCHESTRATOR
    # Before 0.11 the message only names the step; the cause is at the bottom of the stack.
    said = causes[-1] if causes and message.startswith('step "') else message
    data = [without_none(error=each.get("error"), attachments=each.get("attachments")) for each in stack]
    details = without_none(code=error.get("code"), message=message, stack=data or None)
    return without_none(errorMessage=said, errorCode=code, stepId=step, errorData=details)


def started_steps(steps: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the steps without those that are still waiting: current servers do not list them."""
    return [step for step in steps if step.get("status") in STATUSES]


def step_of(run: Mapping[str, Any], step: Mapping[str, Any], item_index: int, step_index: int) -> dict[str, Any]:
    """Translate a step.

    The current format has fields that older servers do not send. A `journalSeqno` of 0 marks a step whose `updatedAt`
    is made up.
    """
    outcome = outcome_of(step.get("result"))
    outcome.pop("stepId", None)
    return {
        "stepId": step["stepId"],
        "component": step.get("component") or "",
        "stepIndex": step_index,
        "itemIndex": item_index,
        "status": STATUSES.get(step["status"], step["status"]),
        "journalSeqno": 0,
        "updatedAt": run.get("completedAt") or run["createdAt"],
        **outcome,
    }


def without_none(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
