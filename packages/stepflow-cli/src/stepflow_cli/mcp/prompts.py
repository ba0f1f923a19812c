"""Prompts: the examples of flows, as requests that a person can pick."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptMessage,
    TextContent,
)
from stepflow_client._base.text import json_text, visible
from stepflow_client._command import examples_of

from .catalog import Catalog

if TYPE_CHECKING:
    from stepflow_client._codec.flow_tools import FlowToolSpec


class Prompts:
    """Answers the requests about prompts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list(self, _: Any, params: PaginatedRequestParams | None) -> ListPromptsResult:
        """List the prompts."""
        return ListPromptsResult(prompts=[Prompt(name=name, description=said) for name, said, _ in self._all()])

    async def get(self, _: Any, params: GetPromptRequestParams) -> GetPromptResult:
        """Return the text of a prompt."""
        for name, said, text in self._all():
            if name == params.name:
                message = PromptMessage(role="user", content=TextContent(text=text))
                return GetPromptResult(description=said, messages=[message])
        raise MCPError(INVALID_PARAMS, "there is no such prompt")

    def _all(self) -> Iterator[tuple[str, str | None, str]]:
        """Yield the name, the description and the text of each prompt."""
        for spec in self._catalog.tools.values():
            for example in examples_of(spec.flow):
                said = example.get("description")
                name = visible(f"{spec.name}.{example['name']}")
                yield name, visible(said) if said else None, self._text(spec, example["input"])

    def _text(self, spec: FlowToolSpec, given: Any) -> str:
        arguments = json.loads(json_text({"input": given} if spec.is_wrapped else given))
        for each in self._catalog.secrets:
            arguments = each.hide_in(arguments)
        return f"Call the tool {spec.name} with these arguments, and tell me the result:\n{json_text(arguments)}"
