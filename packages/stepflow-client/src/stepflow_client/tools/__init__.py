"""Exposes flows as tools for agents and models.

Example:
    tools = FlowTools(client, ["workflow.yaml"])
    result = await tools.call("workflow", {"name": "World"})
    print(result.text)
"""

from __future__ import annotations

from .._async.agent_tools import FlowTool, FlowTools
from .._sync.agent_tools import SyncFlowTool, SyncFlowTools
from ..types.server import ToolResult

__all__ = ["FlowTool", "FlowTools", "SyncFlowTool", "SyncFlowTools", "ToolResult"]
