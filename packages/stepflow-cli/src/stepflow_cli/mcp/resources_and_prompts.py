"""Handles requests for resources (flows, runs, outputs and reports) and prompts (based on the flows' examples)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)
from stepflow_client import StepflowClientError
from stepflow_client._base.text_formatting import format_json_line, visible
from stepflow_client._command import check_run_id, collect_examples
from stepflow_client._data.secrets import hide_flow_secrets

from .agent_run_tracking import AGENT_LABEL, AgentRuns
from .builtin_tools import PAGE_LENGTH, read_masked_output
from .flow_catalog import FlowCatalog
from .tool_calls import build_output_uri

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client._codec.flow_tools import FlowToolSpec


class PromptHandlers:
    """Handles prompt requests."""

    def __init__(self, catalog: FlowCatalog) -> None:
        self._catalog = catalog

    async def list_prompts(self, _: Any, params: PaginatedRequestParams | None) -> ListPromptsResult:
        """List the prompts."""
        prompts = [Prompt(name=name, description=description) for name, description, *_ in self._iter_example_prompts()]
        return ListPromptsResult(prompts=prompts)

    async def get_prompt(self, _: Any, params: GetPromptRequestParams) -> GetPromptResult:
        """Return the text of a prompt."""
        for name, description, spec, value in self._iter_example_prompts():
            if name == params.name:
                arguments = json.loads(format_json_line({"input": value} if spec.is_wrapped else value))
                shown = format_json_line(self._catalog.hide_secrets(arguments))
                text = f"Call the tool {spec.name} with these arguments, and tell me the result:\n{shown}"
                message = PromptMessage(role="user", content=TextContent(text=text))
                return GetPromptResult(description=description, messages=[message])
        raise MCPError(INVALID_PARAMS, "unknown prompt")

    def _iter_example_prompts(self) -> Iterator[tuple[str, str | None, FlowToolSpec, Any]]:
        """Yield the name, description, tool and flow input of each prompt."""
        for spec in self._catalog.tools.values():
            for example in collect_examples(spec.flow):
                description = example.get("description")
                name = visible(f"{spec.name}.{example['name']}")
                yield name, description and visible(description), spec, example["input"]


_JSON, _HTML = "application/json", "text/html"
_MAX_RUNS = 20
_RESOURCE_URI = re.compile(r"stepflow://(flows|runs)/([^/?]+)(?:/(?:items/(\d{1,9})/)?(output|report))?(?:\?(.*))?")
_RESOURCE_TEMPLATES = (
    ("run", "stepflow://runs/{run_id}", "The outcome of a run and of each of its steps.", _JSON),
    ("output", "stepflow://runs/{run_id}/items/{item}/output{?offset}", "The output of an item, in pages.", _JSON),
    ("report", "stepflow://runs/{run_id}/report", "A report of a run, as a page.", _HTML),
)


class ResourceHandlers:
    """Handles resource requests.

    Args:
        runs: The runs that agents have started.
        catalog: The flows.
        reader: A client for code that runs in threads.
    """

    def __init__(self, runs: AgentRuns, catalog: FlowCatalog, reader: SyncStepflowClient) -> None:
        self._runs = runs
        self._catalog = catalog
        self._reader = reader

    async def list_resources(self, _: Any, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """List the flows and the most recent runs that agents have started."""
        resources = [
            Resource(name=spec.name, uri=f"stepflow://flows/{spec.name}", description=spec.description, mime_type=_JSON)
            for spec in self._catalog.tools.values()
        ]
        try:
            listed = await self._runs.client.list_runs(limit=_MAX_RUNS, labels=AGENT_LABEL)
        except StepflowClientError:
            # The flows can be read even if the server is unavailable.
            return ListResourcesResult(resources=resources)
        resources += [
            Resource(
                name=run.run_id,
                uri=f"stepflow://runs/{run.run_id}",
                description=f"{visible(run.flow_name or 'a run')}, {run.status.value}",
                mime_type=_JSON,
            )
            for run in listed.runs
        ]
        return ListResourcesResult(resources=resources)

    async def list_resource_templates(
        self, _: Any, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """List the URI templates."""
        templates = [
            ResourceTemplate(name=name, uri_template=uri, description=description, mime_type=kind)
            for name, uri, description, kind in _RESOURCE_TEMPLATES
        ]
        return ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(self, _: Any, params: ReadResourceRequestParams) -> ReadResourceResult:
        """Return the content of a resource."""
        uri = str(params.uri)
        match = _RESOURCE_URI.fullmatch(uri)
        if match is None:
            raise MCPError(INVALID_PARAMS, "unknown resource")
        kind, name, item, part, query = match.groups()
        more = None
        try:
            if kind == "runs":
                text, media, more = await self._read_run(name, int(item or 0), part, query or "")
            elif name in self._catalog.tools:
                flow = self._catalog.hide_secrets(hide_flow_secrets(self._catalog.tools[name].flow))
                text, media = format_json_line(flow), _JSON
            else:
                raise MCPError(INVALID_PARAMS, "unknown flow")
        except StepflowClientError as error:
            raise MCPError(INVALID_PARAMS, error.message) from error
        meta = None if more is None else {"org.stepflow/next": more}
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=media, text=text, _meta=meta)])

    async def _read_run(self, run_id: str, item: int, part: str | None, query: str) -> tuple[str, str, str | None]:
        run_id = check_run_id(run_id)
        if not self._runs.is_accessible(run_id):
            raise MCPError(INVALID_PARAMS, "no such run started by an agent")
        if part == "report":
            return await asyncio.to_thread(self._render_masked_report, run_id), _HTML, None
        if part is None:
            details = (await self._runs.client.snapshot(run_id, include="account")).details.to_dict()
            return format_json_line(self._catalog.hide_secrets(details)), _JSON, None
        text = await read_masked_output(self._runs, self._catalog, run_id, item)
        offset = next((int(text) for text in parse_qs(query).get("offset", []) if text.isdecimal()), 0)
        end = offset + PAGE_LENGTH
        return text[offset:end], _JSON, build_output_uri(run_id, item, end) if end < len(text) else None

    def _render_masked_report(self, run_id: str) -> str:
        from stepflow_client.drawing import gather
        from stepflow_client.drawing.report_data import mask_snapshot

        report = gather(self._reader, run_id)
        # Mask secrets before rendering: the page truncates and escapes values, so some secrets would no longer be
        # recognized.
        for secret in self._catalog.secrets:
            report = replace(report, snapshot=mask_snapshot(report.snapshot, secret))
        html = report.html()
        for secret in self._catalog.secrets:
            html = secret.hide_in_text(html)
        return html
