"""The lines of the test cases in a flow file."""

from __future__ import annotations

from pathlib import Path

from ..flows.nodes import parse_nodes

__all__ = ["case_lines"]


def case_lines(path: Path) -> dict[int, int]:
    """Return the line of each case in a file, by the position of the case.

    Raises:
        FlowFileError: If the file is not YAML.
    """
    root = parse_nodes(path.read_bytes().decode("utf-8-sig", "replace"), str(path))
    test = root.get("test") if root else None
    cases = test.get("cases") if test else None
    return {index: node.line for index, node in enumerate(cases.items)} if cases else {}
