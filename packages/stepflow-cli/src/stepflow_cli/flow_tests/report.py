"""Format the results of `stepflow test` as readable text, records, coverage, GitHub workflow commands or JUnit XML."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from stepflow_client._base.text_formatting import duration_text
from stepflow_client._command import format_junit_xml
from stepflow_client.testing import failure_text
from stepflow_client.testing.flow_coverage import get_reached_percent, iter_coverage_lines, make_step_line_finder

from ..errors import Problem
from ..inputs.file_io import write_bytes
from ..output.colors_and_escaping import escape, escape_lines_for_terminal
from ..output.record_views import View, columns
from ..records.diagnostics import format_github_annotation
from .run_test_files import FileResults, build_expected_output

CASES = View(
    columns("file", "case", "verdict:status", "duration:number", "message?"),
    fields=("line", "attempt", "run_id", "output", "differences"),
    name="case",
)
STEPS = View(columns("file", "line:number", "step", "state:status", "cases?"), name="step")


def list_case_records(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each run of each case in a file."""
    return [
        {
            "file": done.file.name,
            "line": result.case.line,
            "case": result.case.name,
            "attempt": result.attempt,
            "verdict": result.verdict,
            "duration": round(result.duration, 3),
            "run_id": result.result.run_id if result.result else None,
            "output": result.result.output if result.result else None,
            "message": failure_text(result) if result.is_failed else "",
            "differences": [difference.to_dict() for difference in result.differences],
        }
        for result in done.results
    ]


def format_file_results(done: FileResults, *, diff: bool) -> list[str]:
    """Summarize a file's results in one line, followed by any cases that need attention.

    With `diff`, add a line-by-line YAML diff of the expected and actual output.
    """
    from stepflow_client._command import write_yaml

    if not done.results:
        return [f"{done.file.name}: not run"] if done.file.cases else []
    counts = _format_counts(Counter(result.verdict for result in done.results))
    text = [f"{done.file.name}: {counts} ({duration_text(done.seconds)})"]
    for result in done.results:
        if result.verdict == "passed":
            continue
        where = f"{done.file.name}:{result.case.line or 1}"
        again = f" (run {result.attempt})" if result.attempt > 1 else ""
        word = "UNCHECKED" if result.verdict == "unchecked" else result.verdict.upper()
        text.append(f"  {word} {result.case.name}{again} at {where}")
        if result.verdict == "unchecked":
            text.append("    the case has no expected output; to write one, use --update")
            continue
        lines = failure_text(result).splitlines()
        if diff and result.result is not None:
            values = result.case.expected or {}, build_expected_output(done, result)
            before, after = (write_yaml(value).splitlines() for value in values)
            lines = [line for difference in result.differences for line in str(difference).splitlines()]
            lines += difflib.unified_diff(before, after, "expected", "actual", n=3, lineterm="")
        text += [f"    {line}" for line in lines]
    return [escape(line) for line in text]


def _format_counts(counts: Mapping[str, int]) -> str:
    words = {"passed": "passed", "failed": "failed", "error": "with an error", "unchecked": "without an expectation"}
    return ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts.get(key))


def format_summary(done: Sequence[FileResults], seconds: float) -> str:
    """Return the last line of the output, with the number of passed, failed and flaky cases and the total time."""
    every = [result for file in done for result in file.results]
    text = f"{_format_counts(Counter(case_result.verdict for case_result in every))} in {duration_text(seconds)}"
    flaky = []
    for file in done:
        for case in file.file.cases:
            failures = [result.is_failed for result in file.results if result.case is case]
            if len(set(failures)) == 2:
                flaky.append(f"{case.name} ({sum(failures)} of {len(failures)} failed)")
    if flaky:
        text += f"; flaky: {', '.join(flaky)}"
    skipped = sum(len(file.file.cases) for file in done if not file.results)
    return text + (f"; {skipped} skipped after the first failure" if skipped else "")


def format_github_annotations(done: FileResults) -> list[str]:
    """Return GitHub annotations: an error for each failed case, and a warning for each one with no expected output."""
    lines = []
    for record in list_case_records(done):
        if record["verdict"] == "passed":
            continue
        level = "warning" if record["verdict"] == "unchecked" else "error"
        message = record["message"] or "the case has no expected output"
        place = {"file": record["file"], "line": record["line"] or 1, "title": record["case"]}
        lines.append(format_github_annotation(level, message, **place))
    return lines


def format_github_unreached_steps(done: Sequence[FileResults]) -> Iterator[str]:
    """Yield a GitHub annotation for each step that no case reaches."""
    for step in (step for file in done for step in list_step_coverage(file) if step["state"] == "not_reached"):
        message = f"no test case reaches step {step['step']}"
        yield format_github_annotation("notice", message, file=step["file"], line=step["line"] or 1)


def write_junit_report(path: str, done: Sequence[FileResults], seconds: float) -> None:
    """Write the results as JUnit XML, with one suite per file.

    Raises:
        Problem: If the file can't be written.
    """
    root = ElementTree.Element("testsuites", name="stepflow test", time=f"{seconds:.3f}")
    for file in done:
        if not file.file.cases:
            continue
        suite = ElementTree.SubElement(root, "testsuite", name=file.file.name, time=f"{file.seconds:.3f}")
        for record in list_case_records(file):
            name = record["case"] if record["attempt"] == 1 else f"{record['case']} [{record['attempt']}]"
            place = {"name": escape(name), "classname": escape(record["file"]), "file": escape(record["file"])}
            element = ElementTree.SubElement(suite, "testcase", {**place, "time": f"{record['duration']:.3f}"})
            if record["line"]:
                element.set("line", str(record["line"]))
            if record["verdict"] in ("failed", "error"):
                kind = "failure" if record["verdict"] == "failed" else "error"
                message = escape_lines_for_terminal(record["message"])
                ElementTree.SubElement(element, kind, message=message.split("\n")[0]).text = message
            elif record["verdict"] == "unchecked":
                ElementTree.SubElement(element, "skipped", message="the case has no expected output")
        for case in [] if file.results else file.file.cases:
            element = ElementTree.SubElement(suite, "testcase", name=case.name, classname=file.file.name)
            ElementTree.SubElement(element, "skipped", message="not run after the first failure")
    write_bytes(path, format_junit_xml(root).encode())


def list_step_coverage(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each step of a file's flow."""
    file, line = done.file.name, make_step_line_finder(done.file.tests.path)
    return [
        {"file": file, "line": line(step), "step": "/".join(step.path), "state": step.state, "cases": list(step.cases)}
        for step in done.steps
    ]


def format_coverage(done: Sequence[FileResults]) -> Iterator[str]:
    """Yield readable text that says how many steps of each flow were reached, and which steps weren't."""
    for file in done:
        yield from map(escape, iter_coverage_lines(file.file.tests.path, file.steps))


def check_minimum_coverage(done: Sequence[FileResults], least: float) -> None:
    """Check that the cases reach enough steps.

    Raises:
        Problem: If the percentage of reached steps is below `least`.
    """
    steps = [step for file in done for step in file.steps]
    percent = get_reached_percent(steps)
    if percent < least:
        reached = f"{sum(step.is_reached for step in steps)} of {len(steps)} steps"
        message = f"the cases reach {reached} ({int(percent)} %), below the minimum of {least:g} %"
        raise Problem(message, kind="low_coverage")
