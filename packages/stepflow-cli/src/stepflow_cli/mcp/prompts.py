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
        prompts = [Prompt(name=name, description=description) for name, description, *_ in self._iterate_prompts()]
        return ListPromptsResult(prompts=prompts)

    async def get(self, _: Any, params: GetPromptRequestParams) -> GetPromptResult:
        """Return the text of a prompt."""
        for name, description, spec, value in self._iterate_prompts():
            if name == params.name:
                arguments = json.loads(json_text({"input": value} if spec.is_wrapped else value))
                for secret in self._catalog.secrets:
                    arguments = secret.hide_in(arguments)
                text = (
                    f"Call the tool {spec.name} with these arguments, and tell me the result:\n{json_text(arguments)}"
                )
                message = PromptMessage(role="user", content=TextContent(text=text))
                return GetPromptResult(description=description, messages=[message])
        raise MCPError(INVALID_PARAMS, "there is no such prompt")

    def _iterate_prompts(self) -> Iterator[tuple[str, str | None, FlowToolSpec, Any]]:
        """Yield the name and the description of each prompt, with its tool and the input of the flow."""
        for spec in self._catalog.tools.values():
            for example in examples_of(spec.flow):
                description = example.get("description")
                name = visible(f"{spec.name}.{example['name']}")
                yield name, description and visible(description), spec, example["input"]
