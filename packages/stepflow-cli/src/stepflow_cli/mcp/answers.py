"""Responses to agents, in the protocol's types. Outputs that are too large are cut off and linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_types import CallToolResult, ResourceLink, TextContent

from .bounds import MAX_ANSWER_LENGTH

if TYPE_CHECKING:
    from stepflow_client.tools import ToolResult

# Number of characters of a large output that a response has.
_HEAD = 4_000
_OUTPUTS = ("output", "unexpected_output")


def output_uri(run_id: str, item: int, offset: int = 0) -> str:
    """Return the URI of the output of an item of a run, from a position in its JSON text on."""
    return f"stepflow://runs/{run_id}/items/{item}/output{f'?offset={offset}' if offset else ''}"


def build_response(result: ToolResult, item: int = 0) -> CallToolResult:
    """Return the response to a call.

    Args:
        result: The result of the call.
        item: The item of the run that it is about.
    """
    text, structured = result.text, result.structured
    content: list[Any] = []
    if len(text) > MAX_ANSWER_LENGTH and result.run_id is not None and structured is not None:
        uri = output_uri(result.run_id, item)
        more = f"Call get_run with run_id {result.run_id} and offset {_HEAD}, or read {uri}."
        text = f"{text[:_HEAD]}\n[cut off after {_HEAD:,} of {len(text):,} characters] {more}"
        structured = {key: value for key, value in structured.items() if key not in _OUTPUTS}
        structured |= {"output_resource": uri, "next": more}
        content = [ResourceLink(name="output", uri=uri, mime_type="application/json")]
    elif len(text) > MAX_ANSWER_LENGTH:
        text = f"{text[:MAX_ANSWER_LENGTH]}\n[cut off]"
    return CallToolResult(
        content=[TextContent(text=text), *content],
        structured_content=None if structured is None else dict(structured),
        is_error=result.is_error,
    )
