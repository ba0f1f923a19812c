"""The tables of CONTRIBUTING.md name files that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.releases import ROOT

PACKAGES = [ROOT / "packages/stepflow-client/src/stepflow_client", ROOT / "packages/stepflow-cli/src/stepflow_cli"]


def paths() -> Iterator[tuple[str, str]]:
    """Yield each path in the table, with the folder named before it in the same row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = text.partition("## Finding your way around")[2].partition("\n## ")[0]
    for row in re.findall(r"^\|.*", rows, re.MULTILINE):
        folder = ""
        for path in re.findall(r"`([\w./]+(?:\.py|/))`", row.rpartition(" | ")[2]):
            yield path, folder
            folder = path if path.endswith("/") else folder


def test_the_files_in_the_table_exist() -> None:
    listed = list(paths())
    assert len(listed) > 100
    missing = [
        path
        for path, folder in listed
        if not any((root / base / path).exists() for root in PACKAGES for base in ("", folder))
    ]
    assert missing == []


def test_the_files_in_the_instructions_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, instructions = text.partition("## Finding your way around")[2].partition("\n## ")
    named = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", instructions)
    roots = [ROOT, *PACKAGES, *(package.parent for package in PACKAGES)]
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []
