"""Generating Python code from the schemas of flows."""
