"""What an agent is answered, in the protocol's types. Outputs that are too large are cut off and linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcp_types import CallToolResult, ResourceLink, TextContent

from .bounds import MAX_ANSWER_LENGTH

if TYPE_CHECKING:
    from stepflow_client.tools import ToolResult

_HEAD = 4_000
"""Length of the beginning of a large output."""
_OUTPUTS = ("output", "unexpected_output")


def output_uri(run_id: str, item: int, offset: int = 0) -> str:
    """Return the URI of the output of an item of a run, from a position in its JSON text on."""
    return f"stepflow://runs/{run_id}/items/{item}/output{f'?offset={offset}' if offset else ''}"


def answer(result: ToolResult, item: int = 0) -> CallToolResult:
    """Return the answer to a call.

    Args:
        result: The result of the call.
        item: The item of the run that it is about.
    """
    text, said = result.text, result.structured
    content: list[Any] = []
    if len(text) > MAX_ANSWER_LENGTH and result.run_id is not None and said is not None:
        uri = output_uri(result.run_id, item)
        more = f"Call get_run with run_id {result.run_id} and offset {_HEAD}, or read {uri}."
        text = f"{text[:_HEAD]}\n[cut off after {_HEAD:,} of {len(text):,} characters] {more}"
        said = {key: value for key, value in said.items() if key not in _OUTPUTS}
        said |= {"output_resource": uri, "next": more}
        content = [ResourceLink(name="output", uri=uri, mime_type="application/json")]
    elif len(text) > MAX_ANSWER_LENGTH:
        text = f"{text[:MAX_ANSWER_LENGTH]}\n[cut off]"
    return CallToolResult(
        content=[TextContent(text=text), *content],
        structured_content=None if said is None else dict(said),
        is_error=result.is_error,
    )
