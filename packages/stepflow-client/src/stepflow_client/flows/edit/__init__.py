"""Edits of flow files: corrected keys, expected outputs and schemas, with every other byte unchanged."""
