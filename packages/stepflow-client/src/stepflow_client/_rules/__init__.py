"""Decisions without input or output: what is repeated, how long, which release can do what."""
