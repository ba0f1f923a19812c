"""Parameters of commands: click types, and options shared by several commands."""
