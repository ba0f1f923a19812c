"""Diagnostics: as records, and as text for people, for GitHub and for other tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import ExitCode, Problem
from ..output.columns import View, columns
from ..output.terminal import printable

if TYPE_CHECKING:
    from stepflow_client import Diagnostic
    from stepflow_client.flows.findings import Finding

DIAGNOSTICS = View(
    columns=columns("flow", "level:status", "path", "message", "kind"),
    name="kind",
    folds=True,
    fields=("flow", "code", "data", "is_experimental", "rule", "file", "line", "column", "excerpt", "hint"),
)
"""The diagnostics of several flows."""


class InvalidFlow(Problem):
    """Flows are invalid or rejected by the server (exit code 3).

    Args:
        message: One sentence, without a full stop.
        records: All diagnostics; the JSON form of the problem contains them.
        hint: What to do about it.
    """

    def __init__(self, message: str, records: Sequence[Mapping[str, Any]] = (), *, hint: str | None = None) -> None:
        super().__init__(message, kind="invalid_flow", exit_code=ExitCode.INVALID_FLOW, hint=hint)
        self.records = records

    def record(self) -> dict[str, Any]:
        """Return the problem as a JSON object with `diagnostics`."""
        return {**super().record(), "diagnostics": list(self.records)} if self.records else super().record()


def diagnostic_records(flow: str, diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Return the diagnostics of one flow as records.

    Args:
        flow: The flow's name: its file.
        diagnostics: The diagnostics.
    """
    records = [diagnostic.to_dict() | {"flow": flow} for diagnostic in diagnostics]
    for record in records:
        if isinstance(record["data"], dict):
            # Servers return the keys in a different order each time.
            record["data"] = dict(sorted(record["data"].items()))
    return records


def finding_records(flow: str, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings of the offline checks of one flow as records."""
    from stepflow_client._command import make_result

    records = diagnostic_records(flow, make_result(findings).diagnostics)
    return [record | {"file": flow if flow == "-" else record["file"] or flow} for record in records]


def display_name(flow: str) -> str:
    """Return a flow's name in messages: its file, or `standard input`."""
    return "standard input" if flow == "-" else flow


def format_counts(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the number of diagnostics of each level in words: `1 fatal error, 2 warnings`; empty if there are none."""
    counts: dict[str, int] = {}
    for record in records:
        counts[record["level"]] = counts.get(record["level"], 0) + 1
    words = []
    for level, number in counts.items():
        noun = level if level in ("error", "warning") else f"{level} error"
        words.append(f"{number} {noun}{'' if number == 1 else 's'}")
    return ", ".join(words)


def print_diagnostics(records: Iterable[Mapping[str, Any]]) -> None:
    """Write diagnostics to standard error, one per line."""
    for record in records:
        text = f"{record['level']}: {display_name(record['flow'])}: {record['message']} at {record['path']}"
        click.echo(printable(f"{text} ({record['kind']})".replace("\n", " ")), err=True)


Record = Mapping[str, Any]
_SEVERITIES = {"fatal": "error", "error": "error", "warning": "warning"}


def format_source_text(records: Iterable[Record]) -> str:
    """Return diagnostics in the style of compilers: the position, the message, the marked line, and how to fix it."""
    blocks = []
    for record in records:
        line, column = record.get("line"), record.get("column")
        place = f"{_get_file(record)}:{line}:{column}" if line else record["flow"]
        at = "" if record.get("rule") else f" at {record['path']}"
        lines = [f"{place}: {record['level']}: {record['message']}{at} [{record['kind']}]"]
        number = str(line)
        excerpt = (record.get("excerpt") or "").split("\n")
        if len(excerpt) == 2:
            lines += [f"  {number} | {excerpt[0]}", f"  {' ' * len(number)} | {excerpt[1]}"]
        if record.get("hint"):
            lines.append(f"  {' ' * len(number)} = {record['hint']}")
        blocks.append("\n".join(map(printable, lines)) + "\n")
    return "".join(blocks)


def _get_file(record: Record) -> str:
    """Return the file of a diagnostic: that of a Python flow has another name than the flow."""
    return str(record.get("file") or record["flow"])


def format_github(records: Iterable[Record]) -> str:
    """Return diagnostics as GitHub Actions commands, which annotate the files."""
    lines = []
    for record in records:
        hint = f" ({record['hint']})" if record.get("hint") else ""
        position = {"line": record["line"], "col": record["column"]} if record.get("line") else {}
        properties = {"file": _get_file(record), **position, "title": record["kind"]}
        command = format_github_command(_SEVERITIES[record["level"]], f"{record['message']}{hint}", **properties)
        lines.append(f"{command}\n")
    return "".join(lines)


def format_github_command(level: str, message: str, **properties: Any) -> str:
    """Return the GitHub Actions command that annotates the position in the properties."""

    def escape(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    values = {name: escape(str(value)).replace(":", "%3A").replace(",", "%2C") for name, value in properties.items()}
    return f"::{level} {','.join(f'{name}={value}' for name, value in values.items())}::{escape(message)}"


def format_sarif(records: Iterable[Record], version: str) -> str:
    """Return diagnostics as a SARIF 2.1.0 log."""
    results, rules = [], dict[str, dict[str, Any]]()
    for record in records:
        rules.setdefault(record["kind"], {"id": record["kind"]})
        physical: dict[str, Any] = {"artifactLocation": {"uri": _get_file(record).replace("\\", "/")}}
        if record.get("line"):
            physical["region"] = {"startLine": record["line"], "startColumn": record["column"]}
        hint = f" ({record['hint']})" if record.get("hint") else ""
        results.append(
            {
                "ruleId": record["kind"],
                "level": _SEVERITIES[record["level"]],
                "message": {"text": f"{record['message']}{hint}"},
                "locations": [
                    {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": record["path"]}]}
                ],
            }
        )
    tool = {"driver": {"name": "stepflow", "version": version, "rules": list(rules.values())}}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    log = {
        "$schema": schema,
        "version": "2.1.0",
        "runs": [{"tool": tool, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=True) + "\n"
