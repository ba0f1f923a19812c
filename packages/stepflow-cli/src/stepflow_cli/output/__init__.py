"""Output of commands: formats, tables, messages, live displays."""
