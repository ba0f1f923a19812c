"""A server's diagnostics of flows: as records, on standard error, and as the failure of a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import Problem, printable
from ..exit_codes import ExitCode
from ..output.view import Column, View

if TYPE_CHECKING:
    from stepflow_client import Diagnostic

__all__ = ["DIAGNOSTICS", "InvalidFlow", "called", "counted", "diagnostic_records", "print_diagnostics"]

DIAGNOSTICS = View(
    columns=(
        Column("flow"),
        Column("level", kind="status"),
        Column("path"),
        Column("message"),
        Column("kind"),
    ),
    name="kind",
    folds=True,
    fields=("flow", "code", "data", "experimental", "rule", "file", "line", "column", "excerpt", "hint"),
)
"""The diagnostics of several flows."""

_PLACES = ("rule", "file", "line", "column", "excerpt", "hint")


class InvalidFlow(Problem):
    """Flows are invalid or rejected by the server (exit code 3).

    Args:
        message: One sentence, without a full stop.
        records: All diagnostics; the JSON form of the problem contains them.
        hint: What to do about it.
    """

    def __init__(self, message: str, records: Sequence[Mapping[str, Any]] = (), *, hint: str | None = None) -> None:
        """Store the diagnostics."""
        super().__init__(message, kind="invalid_flow", exit_code=ExitCode.INVALID_FLOW, hint=hint)
        self.records = records

    def record(self) -> dict[str, Any]:
        """Return the problem as a JSON object with `diagnostics`."""
        return {**super().record(), "diagnostics": list(self.records)} if self.records else super().record()


def diagnostic_records(flow: str, diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Return the diagnostics of one flow as records.

    Args:
        flow: The flow's name: its file.
        diagnostics: The server's diagnostics.
    """
    records = [{"flow": flow, **_dumped(each)} for each in diagnostics]
    for record in records:
        if isinstance(record["data"], dict):
            # Servers return the keys in a different order each time.
            record["data"] = dict(sorted(record["data"].items()))
    return records


def _dumped(diagnostic: Diagnostic) -> dict[str, Any]:
    # Leave out fields that only the offline checks set.
    empty = {name for name in _PLACES if getattr(diagnostic, name) is None}
    return diagnostic.model_dump(mode="json", exclude=empty)


def called(flow: str) -> str:
    """Return a flow's name in messages: its file, or `standard input`."""
    return "standard input" if flow == "-" else flow


def counted(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the number of diagnostics of each level in words: `1 fatal error, 2 warnings`; empty if there are none."""
    counts: dict[str, int] = {}
    for record in records:
        counts[record["level"]] = counts.get(record["level"], 0) + 1
    return ", ".join(_words(level, number) for level, number in counts.items())


def _words(level: str, number: int) -> str:
    noun = level if level in ("error", "warning") else f"{level} error"
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_diagnostics(records: Iterable[Mapping[str, Any]]) -> None:
    """Write diagnostics to standard error, one per line."""
    for record in records:
        text = "{level}: {flow}: {message} at {path} ({kind})".format(**{**record, "flow": called(record["flow"])})
        click.echo(printable(text.replace("\n", " ")), err=True)
