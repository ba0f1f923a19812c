"""Test cases for flows: selection, coverage, and updating expected outputs in files."""
