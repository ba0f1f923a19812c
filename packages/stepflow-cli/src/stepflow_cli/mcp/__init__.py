"""The MCP server, which offers flows and runs to agents as tools. Only `commands/mcp.py` imports it."""
