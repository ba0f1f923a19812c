"""The servers that commands connect to or start."""
