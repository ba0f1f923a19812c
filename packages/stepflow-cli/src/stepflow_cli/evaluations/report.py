"""What is printed of an evaluation, and written into files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import printable
from ..inputs.files import write_bytes
from ..output.color import is_terminal
from ..output.columns import Column, View, columns
from ..output.view import Output, json_text
from ..server.connect import Target
from .variants import flow_files

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationReport, EvaluationSummary, SliceScore, WorstCase
    from stepflow_client.evaluation.gates import Gate, Limit

    from .options import Evaluation, Files

_SCORES = View(
    columns=(
        *columns("score:words", "variant:words", "mean:number", "change:number"),
        Column("change_interval", title="95% INTERVAL", kind="words", optional=True),
        Column("verdict", kind="status"),
        Column("counts", title="BETTER/EQUAL/WORSE", kind="words", optional=True),
        Column("interval", title="95% OF MEAN", kind="words", optional=True),
    ),
    name="score",
)
_ONE = View(
    columns=(*_SCORES.columns[:3], Column("interval", title="95% INTERVAL", kind="words", optional=True)), name="score"
)
"""The table of a single variant, which has no changes."""
_ROW = (
    "score",
    "variant",
    "mean",
    "interval",
    "change",
    "change_interval",
    "cases",
    "better",
    "equal",
    "worse",
    "verdict",
)
_WORST = View(
    columns=(
        Column("case"),
        Column("before", kind="number", optional=True),
        *columns("value:number=NOW", "run_id:id", "item_index:number=ITEM"),
        Column("output", optional=True),
    ),
    name="run_id",
)
_GATES = View(columns=columns("condition:words=GATE", "outcome:status", "message:words=NUMBERS"), name="condition")
_SLICES = View(
    columns=(
        *columns("value:words=SLICE", "score:words", "variant:words", "cases:number", "mean:number", "change:number"),
        Column("interval", title="95% INTERVAL", kind="words", optional=True),
        Column("verdict", kind="status"),
    ),
    name="value",
)
_MAX_INPUT_LENGTH = 500
"""Maximum number of characters of an input in a command that is printed."""
REPORT = View(
    columns=columns("name", "cases", "repeats", "variants"),
    name="name",
    fields=("means", "durations", "comparisons", "gates", "remarks", "worst"),
)
"""The report as one record."""


def worst_cases(report: EvaluationReport, worst: Limit | None) -> list[WorstCase] | None:
    """Return the worst cases that `--worst` asks for; None without it.

    Raises:
        InvalidArgumentError: If the report has no such score or variant.
    """
    if worst is None:
        return None
    return report.worst(int(worst.number), score=worst.score, variant=worst.variant)


def print_report(
    report: EvaluationReport,
    worst: Sequence[WorstCase] | None,
    gates: Sequence[Gate],
    output: Output,
    commands: Mapping[str, str],
    slices: Sequence[SliceScore] | None = None,
) -> None:
    """Print the report: for people as tables, else as one record.

    Args:
        report: The report.
        worst: The worst cases; None if nobody asks for them.
        gates: What the variants must meet.
        output: The format.
        commands: The commands that keep the worst cases as tests, by the names of the cases.
        slices: The scores of parts of the cases; None if nobody asks for them.
    """
    if output.format == "html":
        output.write(report.to_html(gates=gates))
    elif output.format == "junit":
        output.write(report.to_junit(gates=gates))
    elif output.format in (None, "table") and not output.fields:
        output.write(_text(report.summary(), output) + _gates_text(gates, output))
        if slices is not None:
            output.write(f"\n{output.table([_slice_row(each) for each in slices], _SLICES)}")
        if worst is not None:
            output.write(_worst_text(report, worst, output, commands))
    else:
        told = {} if slices is None else {"slices": [each.to_dict() for each in slices]}
        output.record(record_of(report, worst, gates) | told, REPORT, default="json")


def record_of(report: EvaluationReport, worst: Sequence[WorstCase] | None, gates: Sequence[Gate]) -> dict[str, Any]:
    """Return the report as one record."""
    told = {"gates": [each.to_dict() for each in gates]}
    return {**report.to_dict(), **told, "worst": report.hidden([each.to_dict() for each in worst or ()])}


def _slice_row(slice_score: SliceScore) -> dict[str, Any]:
    from stepflow_client.evaluation.report_text import change_texts, number_text

    told = {"change": "", "interval": ""}
    if slice_score.change is not None:
        told = dict(zip(told, change_texts(slice_score), strict=True))
    mean = number_text(slice_score.mean)
    return {**slice_score.to_dict(), **told, "mean": mean, "verdict": slice_score.verdict or ""}


def _gates_text(gates: Sequence[Gate], output: Output) -> str:
    """Return the gates that the options demand; that items completed is always demanded."""
    rows = [each.to_dict() for each in gates]
    return f"\n{output.table(rows, _GATES)}" if len(rows) > len({each.variant for each in gates}) else ""


def _text(summary: EvaluationSummary, output: Output) -> str:
    from stepflow_client.evaluation.report_text import title_of

    after = [*summary.notes, *summary.remarks]
    rows = list(_rows(summary))
    table = output.table(rows, _SCORES if summary.comparisons else _ONE) if rows else "no scores\n"
    return f"{printable(title_of(summary))}\n\n{table}" + "".join(_lines(["", *after] if after else []))


def _rows(summary: EvaluationSummary) -> Iterator[dict[str, str]]:
    """Yield the rows of the table. A name stands only in the first of its rows."""
    from stepflow_client.evaluation.report_text import summary_rows

    above = ""
    for cells in list(summary_rows(summary))[1:]:
        # One variant alone has no changes.
        row: dict[str, str] = dict.fromkeys(_ROW, "")
        row.update(zip(_ROW, cells, strict=False))
        row["counts"] = "/".join(row[each] for each in ("better", "equal", "worse")).strip("/")
        above, row["score"] = row["score"], "" if row["score"] == above else row["score"]
        yield row


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield sentences, wrapped between words on a terminal."""
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    for text in texts:
        shown = printable(text)
        yield (shown if width is None else textwrap.fill(shown, max(width, 20), subsequent_indent="  ")) + "\n"


def _worst_text(
    report: EvaluationReport, worst: Sequence[WorstCase], output: Output, commands: Mapping[str, str]
) -> str:
    if not worst:
        return "\nNo case is worse.\n"
    rows = [
        {
            "case": each.case,
            "before": _number(each.before),
            "value": _number(each.value),
            "run_id": each.item.run_id,
            "item_index": each.item.item_index,
            "output": report.hidden(each.item.error) or json_text(report.hidden(each.item.output)),
        }
        for each in worst
    ]
    title = f"The worst cases by {worst[0].score} of {worst[0].item.variant}"
    told = "".join(f"{printable(commands[each.case])}\n" for each in worst if each.case in commands)
    return f"\n{printable(title)}\n\n{output.table(rows, _WORST)}" + (f"\n{told}" if told else "")


def _number(value: float | None) -> str:
    from stepflow_client.evaluation.report_text import number_text

    return "-" if value is None else number_text(value)


def commands_for(target: Target, worst: Sequence[WorstCase] | None, asked: Evaluation) -> dict[str, str]:
    """Return the commands that keep cases as tests, by case; none if the runs end with the command."""
    if target.ends_with_command:
        return {}
    flows = flow_files(asked.variants, asked.flow)
    found = {}
    for each in worst or ():
        given, flow = json.dumps(each.item.input, ensure_ascii=False), flows.get(each.item.variant, asked.flow)
        if each.item.run_id is not None and len(given) <= _MAX_INPUT_LENGTH and flow != "-":
            item = "" if each.item.item_index is None else f" --item {each.item.item_index}"
            words = f"{target.return_command('runs save', each.item.run_id)}{item} {shlex.quote(flow)}"
            found[each.case] = f"{words} --as {shlex.quote(each.case)} --input-json {shlex.quote(given)}"
    return found


def write_files(
    report: EvaluationReport, worst: Sequence[WorstCase] | None, files: Files, gates: Sequence[Gate]
) -> None:
    """Write the files that `--output` names.

    Raises:
        Problem: If one cannot be written.
    """
    page = [] if files.folder is None else [("html", os.path.join(files.folder, "report.html"))]
    for kind, path in (*page, *files.reports):
        match kind:
            case "html":
                text = report.to_html(gates=gates)
            case "junit":
                text = report.to_junit(gates=gates)
            case "json":
                text = json_text(record_of(report, worst, gates), indent=2) + "\n"
            case _:
                text = "".join(json_text(_case(each)) + "\n" for each in worst or ())
        if path == "-":
            click.echo(text, nl=False)
        else:
            write_bytes(path, text.encode())


def _case(worst: WorstCase) -> dict[str, Any]:
    """Return a case as a line of a file that `--cases` reads."""
    return {"name": worst.case, "input": worst.item.input, "expected": worst.item.expected}
