"""Command output: formats, tables, messages and live displays."""
