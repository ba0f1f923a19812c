"""How the in-memory server processes flows and values. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .._data.expressions import references
from ..flows.evaluation import Failure

__all__ = ["BUILTINS", "findings", "floats", "value_id"]


def findings(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fatal findings about steps, in the format of servers."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()

    def add(code: int, kind: str, text: str, path: str) -> None:
        found.append({"kind": kind, "code": code, "level": 1, "formatted": text, "path": path})

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
    return found


def _named(expression: Any) -> set[str]:
    return {each.step for each in references(expression) if each.step}


def floats(value: Any) -> Any:
    """Return a value with every number as a float, as servers from 0.12 on send results."""
    if isinstance(value, Mapping):
        return {key: floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def value_id(value: Any) -> str:
    """Return the id of a stored value: SHA-256 of its compact JSON."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


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
    "/builtin/put_blob": lambda given: given,
    "/builtin/get_blob": lambda given: given,
}
