"""Checks flows for `stepflow validate` and before each run."""
