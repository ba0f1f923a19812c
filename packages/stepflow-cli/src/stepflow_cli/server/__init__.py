"""The server that a command uses."""
