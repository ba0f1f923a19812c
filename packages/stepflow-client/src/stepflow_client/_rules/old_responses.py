"""Converts runs, items, steps and results of older servers to the current format. Pure."""

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


def convert_health(body: dict[str, Any]) -> dict[str, Any]:
    """Return an older server's health with the fields of the current format; the fields of the build stay empty."""
    unknown = {"gitVersion": "", "dirty": False, "rustcVersion": "", "profile": "", "features": [], "target": ""}
    return {"build": unknown, **body}


def convert_components(body: dict[str, Any]) -> dict[str, Any]:
    """Return a list of components with the current field names; 0.12 and older use different ones."""
    names = {"component": "componentId", "input_schema": "inputSchema", "output_schema": "outputSchema"}
    components = [{names.get(key, key): value for key, value in old.items()} for old in body.get("components") or []]
    for component in components:
        component.setdefault("path", component.get("componentId"))
        # Not sent before 0.13, but required by the current format.
        component.setdefault("plugin", "")
    return {**body, "components": components}


def check_flat_run(body: Any) -> dict[str, Any]:
    """Return the fields of a run, which older servers do not nest."""
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


def convert_summary(run: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the summary of a run."""
    # Old servers send null for fields that the current format omits.
    fields = {key: run[key] for key in _SUMMARY if run.get(key) is not None}
    return {"createdAtSeqno": 0, **fields, "status": STATUSES.get(run["status"], run["status"])}


def convert_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Translate an item of a run."""
    translated = {"itemIndex": item["itemIndex"], "status": STATUSES.get(item["status"], item["status"])}
    if item.get("completedAt") is not None:
        translated["completedAt"] = item["completedAt"]
    return {**translated, **convert_result(item.get("result"))}


def convert_result(result: Any) -> dict[str, Any]:
    """Translate a tagged result. A null output stays different from no output."""
    if not isinstance(result, dict):
        return {}
    if "error" not in result:
        return {"output": result["result"]} if "result" in result else {}
    error = result["error"]
    stack = [entry for entry in ((error.get("data") or {}).get("stack") or []) if isinstance(entry, dict)]
    message = str(error.get("message") or "")
    causes = [str(entry["error"]) for entry in stack if entry.get("error")]
    texts = [message, *causes, *(str(text) for entry in stack for text in entry.get("attachments") or [])]
    step = next((match["id"] for match in map(_STEP_IN_TEXT.search, texts) if match), None)
    code = _ERROR_CODES.get(error.get("code"))
    if code == _COMPONENT_FAILED and message == NO_ROUTE:
        code = _ORCHESTRATOR
    # Before 0.11 the message only names the step; the cause is at the bottom of the stack.
    cause = causes[-1] if causes and message.startswith('step "') else message
    data = [drop_none(error=entry.get("error"), attachments=entry.get("attachments")) for entry in stack]
    details = drop_none(code=error.get("code"), message=message, stack=data or None)
    return drop_none(errorMessage=cause, errorCode=code, stepId=step, errorData=details)


def drop_waiting_steps(steps: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the steps without waiting ones, which current servers do not list."""
    return [step for step in steps if step.get("status") in STATUSES]


def convert_step(run: Mapping[str, Any], step: Mapping[str, Any], item_index: int, step_index: int) -> dict[str, Any]:
    """Translate a step.

    The current format has fields that older servers do not send. A `journalSeqno` of 0 marks an invented `updatedAt`.
    """
    outcome = convert_result(step.get("result"))
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


def drop_none(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, by name."""
    return {key: value for key, value in values.items() if value is not None}
