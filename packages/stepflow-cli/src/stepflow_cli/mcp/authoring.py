"""Tools for agents that write flows."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError
from stepflow_client._base.text_formatting import format_json_line, visible
from stepflow_client._codec.flow_tools import make_tool_spec
from stepflow_client._command import async_compute, suggest_nearest, suggest_or_list
from stepflow_client.flows.components import BUILTINS
from stepflow_client.flows.reading import parse_yaml, require_flow

from ..server.connect import fetch_components

if TYPE_CHECKING:
    from stepflow_client import ComponentInfo
    from stepflow_client.tools import ToolResult

    from .flow_catalog import FlowCatalog
    from .tool_calls import ToolCall

_MAX_DIAGNOSTICS = 30


def _parse_flow_argument(call: ToolCall) -> dict[str, Any]:
    """Parse the flow in the arguments.

    Raises:
        FlowFileError: If the text isn't valid YAML or JSON, or isn't a flow.
    """
    return require_flow(parse_yaml(call.arguments["flow"], "the flow"), "the flow")


async def validate_flow(call: ToolCall) -> ToolResult:
    """Check a flow."""
    from stepflow_client.tools import ToolResult

    flow = await asyncio.to_thread(_parse_flow_argument, call)
    diagnostics = list((await call.runs.client.check(flow)).diagnostics)
    messages = {diagnostic.message for diagnostic in diagnostics}
    found = (await call.runs.client.validate(flow)).diagnostics
    diagnostics += [diagnostic for diagnostic in found if diagnostic.message not in messages]
    is_error = any(diagnostic.level.value in ("fatal", "error") for diagnostic in diagnostics)
    lines, records = [], []
    for diagnostic in diagnostics[:_MAX_DIAGNOSTICS]:
        hint = f"; {diagnostic.hint}" if diagnostic.hint else ""
        lines.append(visible(f"{diagnostic.level.value}: {diagnostic.message} (at {diagnostic.path}){hint}"))
        records.append(diagnostic.to_dict())
    text = "\n".join(lines) or "The flow is valid."
    return ToolResult(text, {"is_valid": not is_error, "diagnostics": records})


async def list_components(call: ToolCall) -> ToolResult:
    """List all components, or describe a single component."""
    from stepflow_client.tools import ToolResult

    name = call.arguments.get("component")
    listing = await asyncio.to_thread(fetch_components, call.target)
    components = {_get_or_infer_component_path(component, call.catalog): component for component in listing}
    if name is None:
        lines = [visible(f"{path}: {each.description or ''}".removesuffix(": ")) for path, each in components.items()]
        if any(path.startswith(_UNKNOWN_ROUTE) for path in components):
            lines.append(f"The server does not report its routes: replace {_UNKNOWN_ROUTE} with the plugin's route.")
        return ToolResult("\n".join(lines), {"components": list(components)})
    # Also accept the name without its route, because models don't always know the route.
    path = next((path for path in components if path == name or path.endswith(f"/{name}")), None)
    if path is None:
        hint = suggest_nearest(name.rpartition("/")[2], [path.rpartition("/")[2] for path in components])
        hint = hint or suggest_or_list(name, components, "components")
        raise InvalidArgumentError(f"unknown component {name!r}", hint=hint)
    fields = ("description", "input_schema", "output_schema")
    description = {"component": path, **{field: getattr(components[path], field) for field in fields}}
    return ToolResult(format_json_line(description), description)


_UNKNOWN_ROUTE = "/ROUTE"


def _get_or_infer_component_path(component: ComponentInfo, catalog: FlowCatalog) -> str:
    """Return the path that steps use to refer to a component.

    Servers don't report their routes, so take them from the configuration if the server is embedded. Otherwise, infer
    them from the served flows.
    """
    if component.path:
        return component.path
    ending = f"/{component.name.strip('/')}"
    used = (path for spec in catalog.tools.values() for path in spec.needs.components)
    paths = [*(path for path in BUILTINS if component.plugin in (None, "builtin")), *used]
    return next((path for path in paths if path.endswith(ending)), f"{_UNKNOWN_ROUTE}{ending}")


async def run_flow_text(call: ToolCall) -> ToolResult:
    """Run a flow passed as text."""
    flow = await asyncio.to_thread(_parse_flow_argument, call)
    value, limit = call.arguments.get("input", {}), call.runs.bounds.max_wait
    await async_compute(partial(make_tool_spec(flow, "the flow").check_input, value))

    async def create_run() -> str:
        client, key = call.runs.client, call.idempotency_key
        return str(await client.submit(flow, [value], labels=call.labels, idempotency_key=key, timeout=limit))

    return await call.wait_for_outcome(await call.start_run(create_run), limit)
