"""The output of `stepflow test`: text for people, records, GitHub workflow commands, and JUnit XML."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from stepflow_client._base.text import duration_text
from stepflow_client._command import junit_xml
from stepflow_client.testing import failure_text

from ..errors import printable
from ..inputs.files import write_bytes
from ..output.columns import Column, View, columns
from .execute import FileResults, expected_of

if TYPE_CHECKING:
    from stepflow_client.testing import CaseResult

CASES = View(
    columns=(*columns("file", "case", "verdict:status", "duration:number"), Column("message", optional=True)),
    fields=("line", "attempt", "run_id", "output", "differences"),
    name="case",
)


def case_records(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each case of a file and each of its runs."""
    return [
        {
            "file": done.file.name,
            "line": each.case.line,
            "case": each.case.name,
            "attempt": each.attempt,
            "verdict": each.verdict,
            "duration": round(each.duration, 3),
            "run_id": each.result.run_id if each.result else None,
            "output": each.result.output if each.result else None,
            "message": failure_text(each) if each.is_failed else "",
            "differences": [
                {"path": found.path, "expected": found.expected, "actual": found.actual} for found in each.differences
            ],
        }
        for each in done.results
    ]


def file_lines(done: FileResults, *, diff: bool) -> list[str]:
    """Return the text about a file: one line, followed by the cases that need attention."""
    if not done.results:
        return [f"{done.file.name}: not run"] if done.file.cases else []
    counts = _counted(Counter(each.verdict for each in done.results))
    text = [f"{done.file.name}: {counts} ({duration_text(done.seconds)})"]
    for each in done.results:
        if each.verdict == "passed":
            continue
        where = f"{done.file.name}:{each.case.line or 1}"
        again = f" (run {each.attempt})" if each.attempt > 1 else ""
        word = "UNCHECKED" if each.verdict == "unchecked" else each.verdict.upper()
        text.append(f"  {word} {each.case.name}{again} at {where}")
        if each.verdict == "unchecked":
            text.append("    the case expects no output; --update writes one")
            continue
        detail = _diff(done, each) if diff and each.result is not None else failure_text(each)
        text += [f"    {line}" for line in detail.splitlines()]
    return [printable(line) for line in text]


def _diff(done: FileResults, each: CaseResult) -> str:
    """Return the differences and a line-by-line diff, as YAML, of the expected and the actual output."""
    from stepflow_client._command import write_yaml

    before, after = (write_yaml(value).splitlines() for value in (each.case.expected or {}, expected_of(done, each)))
    lines = list(difflib.unified_diff(before, after, "expected", "actual", n=3, lineterm=""))
    return "\n".join([*(str(each) for each in each.differences), *lines])


def _counted(counts: Mapping[str, int]) -> str:
    words = {"passed": "passed", "failed": "failed", "error": "with an error", "unchecked": "without an expectation"}
    return ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts.get(key))


def summary(done: Sequence[FileResults], seconds: float) -> str:
    """Return the last line: how many cases passed and failed, and the total duration."""
    every = [each for file in done for each in file.results]
    flaky = _flaky(done)
    text = f"{_counted(Counter(each.verdict for each in every))} in {duration_text(seconds)}"
    if flaky:
        text += f"; flaky: {', '.join(flaky)}"
    skipped = sum(len(file.file.cases) for file in done if not file.results)
    return text + (f"; {skipped} skipped after the first failure" if skipped else "")


def _flaky(done: Sequence[FileResults]) -> list[str]:
    """Return the cases that passed in one run and failed in another."""
    found = []
    for file in done:
        for case in file.file.cases:
            verdicts = {each.is_failed for each in file.results if each.case is case}
            if len(verdicts) == 2:
                failed = sum(each.is_failed for each in file.results if each.case is case)
                runs = sum(each.case is case for each in file.results)
                found.append(f"{case.name} ({failed} of {runs} failed)")
    return found


def github_lines(done: FileResults) -> list[str]:
    """Return GitHub annotations: an error for each failed case, a warning for each case without an expectation."""
    lines = []
    for each in case_records(done):
        if each["verdict"] == "passed":
            continue
        level = "warning" if each["verdict"] == "unchecked" else "error"
        message = each["message"] or "the case expects no output"
        place = f"file={_property(each['file'])},line={each['line'] or 1},title={_property(each['case'])}"
        lines.append(f"::{level} {place}::{_escaped(message)}")
    return lines


def github_notice(step: Mapping[str, Any]) -> str:
    """Return the GitHub annotation of a step that no case reaches."""
    place = f"file={_property(step['file'])},line={step['line'] or 1}"
    return f"::notice {place}::no test case reaches step {_escaped(step['step'])}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def write_junit(path: str, done: Sequence[FileResults], seconds: float) -> None:
    """Write the results as JUnit XML, with a suite for each file.

    Raises:
        Problem: If the file cannot be written.
    """
    root = ElementTree.Element("testsuites", name="stepflow test", time=f"{seconds:.3f}")
    for file in done:
        if not file.file.cases:
            continue
        suite = ElementTree.SubElement(root, "testsuite", name=file.file.name, time=f"{file.seconds:.3f}")
        records = case_records(file)
        for each in records:
            _junit_case(suite, each)
        for case in [] if records else file.file.cases:
            element = ElementTree.SubElement(suite, "testcase", name=case.name, classname=file.file.name)
            ElementTree.SubElement(element, "skipped", message="not run after the first failure")
    write_bytes(path, junit_xml(root).encode())


def _junit_case(suite: ElementTree.Element, each: Mapping[str, Any]) -> None:
    name = each["case"] if each["attempt"] == 1 else f"{each['case']} [{each['attempt']}]"
    place = {"name": printable(name), "classname": printable(each["file"]), "file": printable(each["file"])}
    element = ElementTree.SubElement(suite, "testcase", {**place, "time": f"{each['duration']:.3f}"})
    if each["line"]:
        element.set("line", str(each["line"]))
    if each["verdict"] in ("failed", "error"):
        kind = "failure" if each["verdict"] == "failed" else "error"
        message = printable(each["message"])
        ElementTree.SubElement(element, kind, message=message.split("\n")[0]).text = message
    elif each["verdict"] == "unchecked":
        ElementTree.SubElement(element, "skipped", message="the case expects no output")
