"""The MCP server, which lets agents use flows and runs as tools. Only `commands/mcp.py` imports it."""
