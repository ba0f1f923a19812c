"""Check the text of a flow."""

from __future__ import annotations

from typing import Any

from stepflow_client._checks.checker import check_source
from stepflow_client.flows.findings import Finding
from stepflow_client.flows.syntax_tree import FlowText

__all__ = ["find_in_text"]


def find_in_text(text: str, source: str, components: Any = None, **options: Any) -> list[Finding]:
    """Return the findings in a text, parsed as JSON if the name of its source ends with `.json`."""
    return check_source(FlowText(text, source), components, **options)
