"""Command parameters: click types, and options shared by several commands."""
