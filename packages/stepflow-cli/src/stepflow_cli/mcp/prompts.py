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
        return ListPromptsResult(prompts=[Prompt(name=name, description=about) for name, about, *_ in self._all()])

    async def get(self, _: Any, params: GetPromptRequestParams) -> GetPromptResult:
        """Return the text of a prompt."""
        for name, about, spec, value in self._all():
            if name == params.name:
                arguments = json.loads(json_text({"input": value} if spec.is_wrapped else value))
                for secret in self._catalog.secrets:
                    arguments = secret.hide_in(arguments)
                text = (
                    f"Call the tool {spec.name} with these arguments, and tell me the result:\n{json_text(arguments)}"
                )
                message = PromptMessage(role="user", content=TextContent(text=text))
                return GetPromptResult(description=about, messages=[message])
        raise MCPError(INVALID_PARAMS, "there is no such prompt")

    def _all(self) -> Iterator[tuple[str, str | None, FlowToolSpec, Any]]:
        """Yield the name and the description of each prompt, with its tool and the input of the flow."""
        for spec in self._catalog.tools.values():
            for example in examples_of(spec.flow):
                about = example.get("description")
                yield visible(f"{spec.name}.{example['name']}"), about and visible(about), spec, example["input"]
