"""Minimal edits to flow files, and JSON Schemas for editors."""
