"""The MCP server, which offers flows and runs to agents as tools. Imported only by `commands/mcp.py`."""
