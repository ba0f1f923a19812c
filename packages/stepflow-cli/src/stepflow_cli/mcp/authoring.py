"""The tools for agents that write flows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError
from stepflow_client._base.text import json_text, near, visible
from stepflow_client.flows.file import parse_yaml
from stepflow_client.flows.flow_argument import flow_in

if TYPE_CHECKING:
    from stepflow_client.tools import ToolResult

    from .calls import Call

_MOST = 30


def _parsed(call: Call) -> dict[str, Any]:
    """Return the flow that an agent has written.

    Raises:
        FlowFileError: If it is neither YAML nor JSON, or not a flow.
    """
    return flow_in(parse_yaml(call.arguments["flow"], "the flow"), "the flow")


async def validate_flow(call: Call) -> ToolResult:
    """Check a flow."""
    from stepflow_client.tools import ToolResult

    flow = await asyncio.to_thread(_parsed, call)
    found = list((await call.runs.client.check(flow)).diagnostics)
    found += [each for each in (await call.runs.client.validate(flow)).diagnostics if each.message not in
              {known.message for known in found}]  # fmt: skip
    lines = [
        visible(f"{each.level.value}: {each.message} (at {each.path})" + (f"; {each.hint}" if each.hint else ""))
        for each in found[:_MOST]
    ]
    is_error = any(each.level.value in ("fatal", "error") for each in found)
    return ToolResult(
        "\n".join(lines) or "The flow is valid.",
        {"is_valid": not is_error, "diagnostics": [each.to_dict() for each in found[:_MOST]]},
    )


async def list_components(call: Call) -> ToolResult:
    """List components, or show one."""
    from stepflow_client.tools import ToolResult

    wanted = call.arguments.get("component")
    components = {each.path or each.name: each for each in await call.runs.client.list_components()}
    if wanted is None:
        lines = [visible(f"{path}: {each.description or ''}".removesuffix(": ")) for path, each in components.items()]
        head = "A step names a component by its path: before a name without a slash comes a route, as in /builtin/eval."
        return ToolResult("\n".join([head, *lines]), {"components": list(components)})
    if wanted not in components:
        raise InvalidArgumentError(f"there is no component {wanted!r}", hint=near(wanted, components, "components"))
    each = components[wanted]
    shown = {"component": wanted, "description": each.description, "input_schema": each.input_schema}
    shown["output_schema"] = each.output_schema
    return ToolResult(json_text(shown), shown)


async def run_flow_text(call: Call) -> ToolResult:
    """Run a flow that is given as text."""
    flow = await asyncio.to_thread(_parsed, call)

    given = [call.arguments.get("input")]
    limit = call.runs.bounds.max_wait

    async def create() -> str:
        return str(await call.runs.client.submit(flow, given, labels=call.labels, timeout=limit))

    started = await call.runs.start(call.names, create)
    return await call.outcome(started, call.runs.bounds.max_wait)
