"""Test cases for flows: selection, coverage, and the expected outputs in files."""
