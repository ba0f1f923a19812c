"""Print an evaluation, and write it to files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import Problem
from ..inputs.file_io import write_bytes
from ..output.colors_and_escaping import escape, is_terminal
from ..output.printing import Output, format_safe_json
from ..output.record_views import View, columns
from ..server.connect import Target
from .options import get_flow_arguments_by_variant

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationReport, EvaluationSummary, WorstCase
    from stepflow_client.evaluation.gates import Gate, GateRules

    from .options import EvalOptions

_INTERVAL_COLUMN = "interval?:words=95% INTERVAL"
_SCORE_VIEW = View(
    columns(
        *("score:words", "variant:words", "mean:number", "change:number", "change_interval?:words=95% INTERVAL"),
        *("verdict:status", "counts?:words=BETTER/EQUAL/WORSE", "interval?:words=95% OF MEAN"),
    ),
    name="score",
)
# The table for a single variant has no columns for changes.
_SINGLE_VIEW = View(columns(*_SCORE_VIEW.columns[:3], _INTERVAL_COLUMN), name="score")
_WORST = View(columns("case", "before?:number", "value:number=NOW", "run_id:id", "item_index:number=ITEM", "output?"))
_GATE_VIEW = View(columns("condition:words=GATE", "outcome:status", "message:words=NUMBERS"), name="condition")
_SLICE_VIEW = View(
    columns(
        *("value:words=SLICE", "score:words", "variant:words", "cases:number", "mean:number", "change:number"),
        *(_INTERVAL_COLUMN, "verdict:status"),
    ),
    name="value",
)
_TREND_VIEW = View(
    columns(
        *("score:words", "variant:words", "name:words=EVALUATION", "began:words", "cases:number", "mean:number"),
        _INTERVAL_COLUMN,
    ),
    name="name",
    fields=("low", "high"),
)
# Longer inputs are not included in printed commands.
_MAX_INPUT_LENGTH = 500
# How to print the report as a single record.
_REPORT_VIEW = View(
    columns=columns("name", "cases", "repeats", "variants"),
    name="name",
    fields=("means", "durations", "comparisons", "gates", "remarks", "worst"),
)


def print_and_write_report(
    report: EvaluationReport, options: EvalOptions, gate_rules: GateRules, output: Output, target: Target | None = None
) -> None:
    """Print a report as tables or as a single record, write the `--output` files, and raise a problem if a gate fails.

    Args:
        report: The report.
        options: The options.
        gate_rules: The rules that the variants must meet.
        output: How to print the report.
        target: The server that executed the runs, or None if this is an earlier evaluation.

    Raises:
        InvalidArgumentError: If a score, variant or field does not exist.
        Problem: If a file can't be written, or a gate fails.
    """
    from stepflow_client.evaluation import EvaluationReport
    from stepflow_client.evaluation.gates import evaluate_gates
    from stepflow_client.evaluation.report_text import format_slice_cells

    if options.baseline is not None:
        name = "earlier" if "baseline" in report.variants else "baseline"
        report = report.with_baseline(EvaluationReport.load(options.baseline), name=name)
    worst = None
    if options.worst is not None:
        worst = report.worst(int(options.worst.number), score=options.worst.score, variant=options.worst.variant)
    gates = list(evaluate_gates(report, gate_rules))
    slices = report.slice_scores(options.slice_by) if options.slice_by is not None else []
    worst_cases = report.hidden([case.to_dict() for case in worst or ()])
    record = report.to_dict() | {"gates": [gate.to_dict() for gate in gates], "worst": worst_cases}
    if output.format == "html":
        output.write(report.to_html(gates=gates, slices=slices))
    elif output.format == "junit":
        output.write(report.to_junit(gates=gates))
    elif output.format in (None, "table") and not output.fields:
        output.write(_format_summary_table(report.summary(), output) + format_gates_table(gates, output))
        if slices:
            names = ("value", "score", "variant", "cases", "mean", "change", "interval", "verdict")
            rows: list[dict[str, str]] = [dict(zip(names, format_slice_cells(score), strict=True)) for score in slices]
            output.write(f"\n{output.format_table(rows, _SLICE_VIEW)}")
        if worst is not None:
            output.write(_format_worst_cases(report, worst, output, _build_save_commands(target, worst, options)))
    else:
        more = {} if options.slice_by is None else {"slices": [score.to_dict() for score in slices]}
        output.print_record(record | more, _REPORT_VIEW, default="json")
    page = [] if options.files.folder is None else [("html", os.path.join(options.files.folder, "report.html"))]
    for kind, path in (*page, *options.files.reports):
        match kind:
            case "html":
                text = report.to_html(gates=gates, slices=slices)
            case "junit":
                text = report.to_junit(gates=gates)
            case "json":
                text = format_safe_json(record, indent=2) + "\n"
            case _:
                # Write lines that `--cases` can read.
                text = "".join(
                    format_safe_json({"name": case.case, "input": case.item.input, "expected": case.item.expected})
                    + "\n"
                    for case in worst or ()
                )
        write_bytes(path, text.encode())
    raise_failed_gates(gates)


def format_gates_table(gates: Sequence[Gate], output: Output) -> str:
    """Return a table of gates, or "" if there are only standard gates, which fail if every item of a variant failed."""
    rows = [gate.to_dict() for gate in gates]
    return f"\n{output.format_table(rows, _GATE_VIEW)}" if len(rows) > len({gate.variant for gate in gates}) else ""


def raise_failed_gates(gates: Sequence[Gate]) -> None:
    """Raise a problem if any gate failed.

    Raises:
        Problem: If a gate failed. The message lists all failures.
    """
    failures = [gate.message for gate in gates if gate.outcome == "failed"]
    if failures:
        raise Problem("; ".join(failures), kind="evaluation_failed")


def print_score_trend(options: EvalOptions, output: Output) -> None:
    """Print the scores of each evaluation in a folder, and write a page about them.

    Raises:
        Problem: If the format is JUnit, or if a file can't be written.
        StepflowClientError: If an evaluation can't be read.
    """
    from stepflow_client.evaluation import trend
    from stepflow_client.evaluation.page import render_trend_page
    from stepflow_client.evaluation.report import TREND_HEADS, format_trend_cells

    if output.format == "junit":
        raise options.build_needs_single_evaluation_problem("-o junit")
    points = trend(options.flow, limit=options.limit or 10)
    records = [point.to_dict() for point in points]
    if output.format == "html":
        output.write(render_trend_page(points))
    elif output.format in (None, "table") and not output.fields:
        names = [*TREND_HEADS[:2], "name", *TREND_HEADS[3:-1], "interval"]
        rows = [dict(zip(names, format_trend_cells(point), strict=True)) for point in points]
        output.write(output.format_table(rows, _TREND_VIEW))
    else:
        output.print_records(records, _TREND_VIEW, default="json")
    for kind, path in options.files.reports:
        text = render_trend_page(points) if kind == "html" else format_safe_json(records) + "\n"
        write_bytes(path, text.encode())


def _format_summary_table(summary: EvaluationSummary, output: Output) -> str:
    from stepflow_client.evaluation.report_text import format_title, iter_summary_rows

    names: list[str] = ["score", "variant", "mean", "interval", "change", "change_interval", "cases"]
    names += ["better", "equal", "worse", "verdict"]
    rows: list[dict[str, str]] = []
    above = ""
    for cells in list(iter_summary_rows(summary))[1:]:
        # If there's just one variant, there are no changes to show.
        row: dict[str, str] = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        row["counts"] = "/".join(row[name] for name in ("better", "equal", "worse")).strip("/")
        above, row["score"] = row["score"], "" if row["score"] == above else row["score"]
        rows.append(row)
    table = output.format_table(rows, _SCORE_VIEW if summary.comparisons else _SINGLE_VIEW) if rows else "no scores\n"
    lines = [f"{escape(format_title(summary))}\n\n{table}"]
    # On a terminal, wrap sentences at word boundaries.
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    for text in (*summary.notes, *summary.remarks):
        shown = escape(text)
        lines.append(shown if width is None else textwrap.fill(shown, max(width, 20), subsequent_indent="  "))
    return "\n".join([*lines, ""]) if len(lines) > 1 else lines[0]


def _format_worst_cases(
    report: EvaluationReport, worst: Sequence[WorstCase], output: Output, commands: Mapping[str, str]
) -> str:
    from stepflow_client.evaluation.report_text import format_number

    if not worst:
        return "\nNo case is worse.\n"
    rows = [
        {
            "case": case.case,
            "before": "-" if case.before is None else format_number(case.before),
            "value": "-" if case.value is None else format_number(case.value),
            "run_id": case.item.run_id,
            "item_index": case.item.item_index,
            "output": report.hidden(case.item.error) or format_safe_json(report.hidden(case.item.output)),
        }
        for case in worst
    ]
    title = f"The worst cases by {worst[0].score} of {worst[0].item.variant}"
    shown = "".join(f"{escape(commands[case.case])}\n" for case in worst if case.case in commands)
    return f"\n{escape(title)}\n\n{output.format_table(rows, _WORST)}" + (f"\n{shown}" if shown else "")


def _build_save_commands(target: Target | None, worst: Sequence[WorstCase], options: EvalOptions) -> dict[str, str]:
    """Return a `runs save` command for each case, or none if the runs are lost when this command exits."""
    if target is None or target.ends_with_command:
        return {}
    flows = get_flow_arguments_by_variant(options.variants, options.flow)
    commands = {}
    for case in worst:
        value, flow = json.dumps(case.item.input, ensure_ascii=False), flows.get(case.item.variant, options.flow)
        if case.item.run_id is not None and len(value) <= _MAX_INPUT_LENGTH and flow != "-":
            item = "" if case.item.item_index is None else f" --item {case.item.item_index}"
            words = f"{target.build_command_for_run('runs save', case.item.run_id)}{item} {shlex.quote(flow)}"
            commands[case.case] = f"{words} --as {shlex.quote(case.case)} --input-json {shlex.quote(value)}"
    return commands
