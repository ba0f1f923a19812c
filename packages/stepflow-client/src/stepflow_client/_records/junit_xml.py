"""Writes JUnit XML, which CI servers can display."""

from __future__ import annotations

import re
from xml.etree import ElementTree

# Characters that XML doesn't allow.
_FORBIDDEN_CHARACTERS = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def format_junit_xml(root: ElementTree.Element) -> str:
    """Set each suite's counts of tests, failures, errors and skipped tests, and format the suites as XML."""
    for suite in root:
        suite.set("tests", str(len(suite.findall("testcase"))))
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    ElementTree.indent(root)
    text = _FORBIDDEN_CHARACTERS.sub("·", ElementTree.tostring(root, "unicode"))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'
