"""The input and output schemas of the builtin components of servers from 0.9 to 0.13."""

from __future__ import annotations

from typing import Any

__all__ = ["BUILTINS", "NEW_BUILTINS"]

_ANY: dict[str, Any] = {}
_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


BUILTINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/builtin/create_messages": (
        _object("user_prompt", user_prompt=_TEXT, system_instructions={"type": ["string", "null"]}),
        _object("messages", messages={"type": "array", "items": _object("role content", role=_TEXT, content=_TEXT)}),
    ),
    "/builtin/put_blob": (
        _object("data blob_type", data=_ANY, blob_type={"enum": ["data", "flow", "binary"]}),
        _object("blob_id", blob_id=_TEXT),
    ),
    "/builtin/get_blob": (_object("blob_id", blob_id=_TEXT), _object("data", data=_ANY)),
    "/builtin/load_file": (
        _object("path", path=_TEXT, format={"enum": ["json", "yaml", "text", None]}),
        _object(
            "data metadata",
            data=_ANY,
            metadata=_object("resolved_path size_bytes format", resolved_path=_TEXT, size_bytes=_WHOLE, format=_TEXT),
        ),
    ),
    "/builtin/map": (
        _object("workflow items", workflow={"type": "object"}, items={"type": "array"}, max_concurrency=_ANY),
        _object("results successful failed", results={"type": "array"}, successful=_WHOLE, failed=_WHOLE),
    ),
    "/builtin/iterate": (
        _object("flow initial_input", flow={"type": "object"}, initial_input=_ANY, max_iterations=_ANY),
        _object("result iterations terminated", result=_ANY, iterations=_WHOLE, terminated={"type": "boolean"}),
    ),
    "/builtin/eval": (
        _object("flow_id input", flow_id=_TEXT, input=_ANY),
        _object("result run_id", result=_ANY, run_id=_TEXT),
    ),
    "/builtin/openai": (
        _object("messages", messages={"type": "array"}, max_tokens=_ANY, temperature=_ANY, api_key=_ANY),
        _object("response", response=_ANY),
    ),
    "/builtin/noop": (_ANY, _ANY),
    "/builtin/sleep": (_object("duration_ms", duration_ms=_WHOLE, passthrough=_ANY), _ANY),
}
"""The input and output schemas by the path of the component. Some exist in newer releases only."""

NEW_BUILTINS = frozenset({"/builtin/noop", "/builtin/sleep"})
"""Those that exist from 0.13 on."""
