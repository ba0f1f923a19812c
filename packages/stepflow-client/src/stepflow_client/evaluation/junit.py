"""The report of an evaluation as JUnit XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .._base.text import short_json
from .._records.junit_xml import junit_xml
from .columns import Column
from .report_text import number_text
from .variant_comparison import is_lower

if TYPE_CHECKING:
    from .records import EvaluationItem
    from .report import EvaluationReport


def junit_text(report: EvaluationReport, limits: Mapping[str, float]) -> str:
    """Return a report as JUnit XML, with a suite for each variant and a case for each case."""
    root = ElementTree.Element("testsuites", name=report.name or "evaluation")
    suites = {name: ElementTree.SubElement(root, "testsuite", name=name) for name in report.variants}
    found: dict[tuple[str, str], ElementTree.Element] = {}
    for item in report:
        key = (item.variant, item.case)
        if key not in found:
            given = {"classname": item.variant, "name": item.case}
            found[key] = ElementTree.SubElement(suites[item.variant], "testcase", given)
            _add_failures(found[key], report, item, limits)
        if not item.is_success and found[key].find("error") is None:
            text = report._secrets.hide(item.error or f"the item was {item.status}")
            ElementTree.SubElement(found[key], "error", message=text).text = f"run {item.run_id}"
        if item.duration is not None:
            found[key].set("time", f"{float(found[key].get('time', '0')) + item.duration:.3f}")
    return junit_xml(root)


def _add_failures(
    element: ElementTree.Element, report: EvaluationReport, item: EvaluationItem, limits: Mapping[str, float]
) -> None:
    """Add a failure for each score of a case that is beyond its limit."""
    case = report._columns.cases[item.case]
    for score, limit in limits.items():
        value = report._columns.variants[item.variant].scores.get(score, Column()).mean(case)
        lower = is_lower(score, report._lower)
        if value is not None and (value > limit if lower else value < limit):
            told = f"{score} is {number_text(value)}, {'above' if lower else 'below'} {limit:g}"
            output = report._secrets.hide(short_json(item.output, 500))
            ElementTree.SubElement(element, "failure", message=told).text = f"run {item.run_id}: {output}"
