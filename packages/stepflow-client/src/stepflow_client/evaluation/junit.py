"""The report of an evaluation as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .._records.junit_xml import junit_xml
from .report_text import number_text

if TYPE_CHECKING:
    from .gates import Gate
    from .records import EvaluationItem
    from .report import EvaluationReport


def junit_text(report: EvaluationReport, gates: Sequence[Gate]) -> str:
    """Return a report as JUnit XML: a suite for each variant, a test case for each gate, a property for each item."""
    root = ElementTree.Element("testsuites", name=report.name or "evaluation")
    suites = {name: ElementTree.SubElement(root, "testsuite", name=name) for name in report.variants}
    properties = {name: ElementTree.SubElement(suite, "properties") for name, suite in suites.items()}
    for item in report:
        repeat = f" ({item.repeat})" if item.repeat else ""
        attributes = {"name": f"{item.case}{repeat}", "value": report._secrets.hide(_item_text(item))}
        ElementTree.SubElement(properties[item.variant], "property", attributes)
    for gate in gates:
        case = ElementTree.SubElement(suites[gate.variant], "testcase", classname=gate.variant, name=gate.condition)
        if gate.outcome == "failed":
            ElementTree.SubElement(case, "failure", message=gate.message)
        elif gate.outcome == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=gate.message)
        else:
            ElementTree.SubElement(case, "system-out").text = gate.message
    return junit_xml(root)


def _item_text(item: EvaluationItem) -> str:
    scores = [
        f"{name}={number_text(value) if isinstance(value, (int, float)) else value}"
        for name, value in item.scores.items()
    ]
    errors = [] if item.is_success else [f"{item.status}: {item.error}" if item.error else item.status]
    return ", ".join([*errors, *scores, f"run {item.run_id}"])
