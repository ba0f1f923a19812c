"""Python code written from the schemas of flows."""
