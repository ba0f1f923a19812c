"""Diagnostics with their source positions: in the style of compilers, as SARIF, and as GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import printable

__all__ = ["finding_record", "github_text", "sarif_text", "source_text"]

Record = Mapping[str, Any]
_SEVERITIES = {"fatal": "error", "error": "error", "warning": "warning"}


def finding_record(flow: str, finding: Any) -> dict[str, Any]:
    """Return a finding of the offline checks as a record with the fields of a server's diagnostics."""
    return {
        "level": finding.level,
        "kind": finding.rule,
        "code": 0,
        "message": finding.message,
        "path": finding.path,
        "data": None,
        "experimental": False,
        "rule": finding.rule,
        "file": flow,
        "line": finding.line,
        "column": finding.column,
        "excerpt": finding.excerpt,
        "hint": finding.hint,
    }


def source_text(records: Iterable[Record]) -> str:
    """Return diagnostics in the style of compilers: the position, the message, the marked line, and how to fix it."""
    blocks = []
    for record in records:
        line, column = record.get("line"), record.get("column")
        place = f"{record['flow']}:{line}:{column}" if line else record["flow"]
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


def github_text(records: Iterable[Record]) -> str:
    """Return diagnostics as GitHub Actions commands, which annotate the files."""
    lines = []
    for record in records:
        hint = f" ({record['hint']})" if record.get("hint") else ""
        place = f"file={_property(record['flow'])}"
        if record.get("line"):
            place += f",line={record['line']},col={record['column']}"
        message = _data(f"{record['message']}{hint}")
        lines.append(f"::{_SEVERITIES[record['level']]} {place},title={_property(record['kind'])}::{message}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif_text(records: Iterable[Record], version: str) -> str:
    """Return diagnostics as a SARIF 2.1.0 log."""
    results, rules = [], dict[str, dict[str, Any]]()
    for record in records:
        rules.setdefault(record["kind"], {"id": record["kind"]})
        physical: dict[str, Any] = {"artifactLocation": {"uri": record["flow"].replace("\\", "/")}}
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
