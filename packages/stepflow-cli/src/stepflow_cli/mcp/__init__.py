"""The MCP server, which offers flows and runs to agents as tools. It is only imported by `commands/mcp.py`."""
