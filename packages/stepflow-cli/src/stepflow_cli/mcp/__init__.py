"""The MCP server: flows and runs as tools of agents. Only `commands/mcp.py` imports this package."""
