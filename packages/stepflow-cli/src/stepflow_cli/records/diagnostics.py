"""Formats a flow's diagnostics as records, or as text for people, GitHub and other tools."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import ExitCode, Problem
from ..output.colors_and_escaping import escape
from ..output.record_views import View, columns

if TYPE_CHECKING:
    from stepflow_client import Diagnostic
    from stepflow_client.flows.findings import Finding

DIAGNOSTICS = View(
    columns=columns("flow", "level:status", "path", "message", "kind"),
    name="kind",
    folds=True,
    fields=("flow", "code", "data", "is_experimental", "rule", "file", "line", "column", "excerpt", "hint"),
)
"""The diagnostics of one or more flows."""


class FlowProblem(Problem):
    """One or more flows are invalid, or the server rejected them (exit code 3).

    Args:
        message: One sentence without a period.
        records: All diagnostics, which are included if the problem is printed as JSON.
        hint: How to fix the problem.
    """

    def __init__(self, message: str, records: Sequence[Mapping[str, Any]] = (), *, hint: str | None = None) -> None:
        super().__init__(message, kind="invalid_flow", exit_code=ExitCode.INVALID_FLOW, hint=hint)
        self.records = records

    def to_record(self) -> dict[str, Any]:
        """Return the problem as a JSON object that includes any `diagnostics`."""
        return {**super().to_record(), "diagnostics": list(self.records)} if self.records else super().to_record()


def diagnostic_records(flow: str, diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Return a flow's diagnostics as records.

    Args:
        flow: The flow's name, which is the name of its file.
        diagnostics: The diagnostics.
    """
    records = [diagnostic.to_dict() | {"flow": flow} for diagnostic in diagnostics]
    for record in records:
        if isinstance(record["data"], dict):
            # Sort the keys, because servers return them in a different order each time.
            record["data"] = dict(sorted(record["data"].items()))
    return records


def finding_records(flow: str, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return a flow's offline findings as records."""
    from stepflow_client._command import make_validation_result

    records = diagnostic_records(flow, make_validation_result(findings).diagnostics)
    return [record | {"file": flow if flow == "-" else record["file"] or flow} for record in records]


def flow_label(flow: str) -> str:
    """Return a flow's name for messages: its file, or `standard input`."""
    return "standard input" if flow == "-" else flow


def format_counts(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the number of diagnostics at each level, such as `1 fatal error, 2 warnings`, or "" if there are none."""
    words = []
    for level, number in Counter(record["level"] for record in records).items():
        noun = level if level in ("error", "warning") else f"{level} error"
        words.append(f"{number} {noun}{'' if number == 1 else 's'}")
    return ", ".join(words)


def note_diagnostics(records: Iterable[Mapping[str, Any]]) -> None:
    """Print diagnostics to standard error, one per line."""
    for record in records:
        text = f"{record['level']}: {flow_label(record['flow'])}: {record['message']} at {record['path']}"
        click.echo(escape(f"{text} ({record['kind']})".replace("\n", " ")), err=True)


Record = Mapping[str, Any]
_SEVERITIES = {"fatal": "error", "error": "error", "warning": "warning"}


def format_like_compiler(records: Iterable[Record]) -> str:
    """Format diagnostics as a compiler does, with the position, the message, the marked line and a suggested fix."""
    blocks = []
    for record in records:
        line, column = record.get("line"), record.get("column")
        place = f"{_get_diagnostic_file(record)}:{line}:{column}" if line else record["flow"]
        at = "" if record.get("rule") else f" at {record['path']}"
        lines = [f"{place}: {record['level']}: {record['message']}{at} [{record['kind']}]"]
        number = str(line)
        excerpt = (record.get("excerpt") or "").split("\n")
        if len(excerpt) == 2:
            lines += [f"  {number} | {excerpt[0]}", f"  {' ' * len(number)} | {excerpt[1]}"]
        if record.get("hint"):
            lines.append(f"  {' ' * len(number)} = {record['hint']}")
        blocks.append("\n".join(map(escape, lines)) + "\n")
    return "".join(blocks)


def _get_diagnostic_file(record: Record) -> str:
    """Return the path of a diagnostic's file. (The name of a Python flow is `module:function`, not its path.)"""
    return str(record.get("file") or record["flow"])


def format_github_diagnostics(records: Iterable[Record]) -> str:
    """Format diagnostics as GitHub Actions commands that annotate the files."""
    lines = []
    for record in records:
        hint = f" ({record['hint']})" if record.get("hint") else ""
        position = {"line": record["line"], "col": record["column"]} if record.get("line") else {}
        properties = {"file": _get_diagnostic_file(record), **position, "title": record["kind"]}
        command = format_github_annotation(_SEVERITIES[record["level"]], f"{record['message']}{hint}", **properties)
        lines.append(f"{command}\n")
    return "".join(lines)


def format_github_annotation(level: str, message: str, **properties: Any) -> str:
    """Return a GitHub Actions command that annotates a line."""

    def escape_value(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    values = {
        name: escape_value(str(value)).replace(":", "%3A").replace(",", "%2C") for name, value in properties.items()
    }
    return f"::{level} {','.join(f'{name}={value}' for name, value in values.items())}::{escape_value(message)}"


def format_sarif_log(records: Iterable[Record], version: str) -> str:
    """Return diagnostics as a SARIF 2.1.0 log."""
    results, rules = [], dict[str, dict[str, Any]]()
    for record in records:
        rules.setdefault(record["kind"], {"id": record["kind"]})
        physical: dict[str, Any] = {"artifactLocation": {"uri": _get_diagnostic_file(record).replace("\\", "/")}}
        if record.get("line"):
            physical["region"] = {"startLine": record["line"], "startColumn": record["column"]}
        hint = f" ({record['hint']})" if record.get("hint") else ""
        message = {"text": f"{record['message']}{hint}"}
        location = {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": record["path"]}]}
        result = {"ruleId": record["kind"], "level": _SEVERITIES[record["level"]]}
        results.append({**result, "message": message, "locations": [location]})
    tool = {"driver": {"name": "stepflow", "version": version, "rules": list(rules.values())}}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    runs = [{"tool": tool, "columnKind": "unicodeCodePoints", "results": results}]
    log = {"$schema": schema, "version": "2.1.0", "runs": runs}
    return json.dumps(log, indent=2, ensure_ascii=True) + "\n"
