"""Server configurations: what does not match their schema."""

from __future__ import annotations

from .._editing.editor_schema import schema
from .._editing.rewrites import with_rewrites
from ..flows.findings import Finding, Findings, syntax_finding
from ..flows.json_schema import mismatches
from ..flows.source import FlowText


def find_in_config(config: FlowText) -> list[Finding]:
    """Return the places where a server configuration does not match its schema, for editors."""
    error = config.error
    if error is not None:
        # Servers read keys that are objects, the inputs of mocks, and keys that stand twice; the parser refuses both.
        is_read = "a key must be a string" in error.message or "stands twice" in error.message
        return [] if is_read else [syntax_finding(config.name, error)]
    whole, found = schema("config"), Findings()
    for wrong in mismatches(config.root.value, whole, whole["$defs"]):
        # Servers ignore unknown keys.
        found.add_mismatch("configuration", "warning" if wrong.key else "error", config.root, wrong)
    return with_rewrites(config, list(found.all.values()))
