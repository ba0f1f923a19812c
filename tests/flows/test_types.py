"""Types: planted faults are found at their places, valid flows have none, and nothing breaks the check."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from stepflow_client.flows.checker import components_of, find_in_text

_FOLDER = Path(__file__).with_name("type_faults")
_COMPONENTS = components_of(json.loads((_FOLDER / "components.json").read_text()))
_FILES = sorted(_FOLDER.glob("*.yaml"))
_MARK = re.compile(r"^ *#(?P<before> *)\^ (?P<rule>[a-z-]+)$")


def _planted(text: str) -> set[tuple[str, int, int]]:
    """Return the faults that comments mark: below a line, a caret at the column and the rule."""
    found, last = set(), 0
    for number, line in enumerate(text.splitlines(), 1):
        mark = _MARK.match(line)
        if mark is None:
            last = number
            continue
        found.add((mark["rule"], last, line.index("^") + 1))
    return found


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_planted_faults_are_found_and_no_others(path: Path) -> None:
    text = path.read_text()
    found = find_in_text(text, path.name, _COMPONENTS, type_check=True)
    assert {(each.rule, each.line, each.column) for each in found} == _planted(text)
