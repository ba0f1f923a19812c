"""Edits of flow files, with every other byte unchanged, and JSON Schemas for editors."""
