"""How the in-memory server processes flows and values. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from .._runs.pins import Delayed
from ..flows.expressions import references
from ..flows.interpreter import Failure


def findings(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fatal findings about steps, in the format of servers."""
    diagnostics: list[dict[str, Any]] = []
    seen: set[str] = set()

    def add(code: int, kind: str, text: str, path: str) -> None:
        diagnostics.append({"kind": kind, "code": code, "level": 1, "formatted": text, "path": path})

    for index, step in enumerate(flow.get("steps") or ()):
        step_id, place = step.get("id") or "", f"$.steps[{index}]"
        if not step_id.strip():
            add(3001, "emptyStepId", "Step has empty ID", f"{place}.id")
        if step_id in seen:
            add(3000, "duplicateStepId", f"Duplicate step ID '{step_id}'", f"{place}.id")
        for named in sorted(_named(step.get("input")) - seen):
            kind = (3002, "selfReference") if named == step_id else (3003, "undefinedStepReference")
            verb = "itself" if named == step_id else f"undefined step '{named}'"
            add(*kind, f"Step '{step_id}' references {verb}", f"{place}.input")
        seen.add(step_id)
    for named in sorted(_named(flow.get("output")) - seen):
        text = f"Step 'workflow_output' references undefined step '{named}'"
        add(3003, "undefinedStepReference", text, "$.output")
    return diagnostics


def _named(expression: Any) -> set[str]:
    return {each.step for each in references(expression) if each.step}


def floats(value: Any) -> Any:
    """Return a value with every number as a float, as current servers send results."""
    if isinstance(value, Mapping):
        return {key: floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def value_id(value: Any) -> str:
    """Return the id of a stored value: SHA-256 of bytes, or of compact JSON."""
    content = (
        value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    )
    return hashlib.sha256(content).hexdigest()


def _create_messages(given: Any) -> dict[str, Any]:
    """Return the output of /builtin/create_messages."""
    if not isinstance(given, Mapping) or not isinstance(given.get("user_prompt"), str):
        raise Failure(5, "missing field `user_prompt`", is_own=True)
    system = given.get("system_instructions")
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": given["user_prompt"]}]}


BUILTINS: dict[str, Any] = {
    "/builtin/create_messages": _create_messages,
    "/builtin/noop": lambda given: given,
    "/builtin/sleep": lambda given: Delayed(given, given["duration_ms"] / 1000),
}


def blob_components(put: Callable[[Any, str], str], blobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the builtin components that store and read blobs."""

    def get_blob(given: Any) -> Any:
        if given["blob_id"] not in blobs:
            raise Failure(5, f"blob {given['blob_id']} not found", is_own=True)
        return {"data": blobs[given["blob_id"]]["data"]}

    def put_blob(given: Any) -> Any:
        return {"blob_id": put(given["data"], given.get("blob_type", "data"))}

    return {"/builtin/put_blob": put_blob, "/builtin/get_blob": get_blob}


SUB_FLOWS = ("/builtin/map", "/builtin/iterate", "/builtin/eval")
"""The builtin components that run a flow."""
