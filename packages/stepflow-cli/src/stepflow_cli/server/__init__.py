"""The server a command works with."""
