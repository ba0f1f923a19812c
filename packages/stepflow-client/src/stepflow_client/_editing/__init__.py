"""Edits flow files without touching any other byte, and provides JSON Schemas for editors."""
