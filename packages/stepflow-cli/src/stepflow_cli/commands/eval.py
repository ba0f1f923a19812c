"""`stepflow eval`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..evaluations.options import EvalOptions, parse_score_limits, parse_worst_cases, split_folder_and_report_paths
from ..output.printing import Output
from ..params.click_commands import Command
from ..params.flow_run_options import (
    INPUT_FORMATS,
    flow_argument,
    no_check_option,
    one_mapping,
    retry_needed,
    retry_options,
    setting_options,
)
from ..params.options import (
    BATCH,
    FILE,
    HISTORY,
    OUTPUT,
    Choice,
    Section,
    group_options,
    labels_option,
    limit_option,
    make_table_output_options,
    server_options,
)
from ..runs.run_options import RetryOptions
from ..settings.server_choice import ServerOptions

_MAIN = "--cases --variant --score --repeat --output --resume --baseline --fail-below --worst --url --config --format"


_CASES, _GATES, _SCORES, _VARIANTS = map(Section, ("Cases", "Gates", "Scores", "Variants"))


def _build_eval_options(paths: Sequence[str], worst: str | None, retry: RetryOptions, **given: Any) -> EvalOptions:
    limit = None if worst is None else parse_worst_cases(worst)
    return EvalOptions(files=split_folder_and_report_paths(paths), worst=limit, retry=retry.arguments_for_map, **given)


_cases = (
    flow_argument,
    _CASES.option(
        "--cases FILE",
        "Read cases from a CSV, JSON lines (.jsonl, or -) or Parquet file, or a list in a YAML or JSON file. The "
        "column or key 'expected' is the expected output. If the rest are 'input' and optionally name, tags and "
        "metadata, 'input' is the input. If not, all of them are. history:QUERY uses the completed runs that "
        "'stepflow history list QUERY' finds, and expects their outputs. [default: the flow's test cases]",
        type=FILE,
    ),
    _CASES.option(
        "--cases-format",
        "Read --cases in this format. [default: from the file extension; JSON lines for -]",
        type=Choice(INPUT_FORMATS),
    ),
    _CASES.option(
        "--expected NAME", "Use this column or key as the expected output. [default: expected]", default="expected"
    ),
    limit_option("Use only the first N cases.", section=_CASES),
    _CASES.option(
        "--repeat N", "Run each case N times with each variant. [default: 1]", type=click.IntRange(1), default=1
    ),
)
_what = (
    _VARIANTS.option(
        "--variant WORDS",
        "Add a variant: NAME is the flow as is, NAME:VARIABLE=VALUE sets a variable, NAME:STEP.input.KEY=VALUE "
        "overrides one value in a step's input, and NAME=FLOW uses a different flow. Repeatable. Repeat NAME to add to "
        "that variant. Variants are compared with the first. [default: the flow as is]",
        to="variants",
        multiple=True,
    ),
    setting_options,
    _SCORES.option(
        "--score SCORE",
        "Add a score: a built-in one such as exact:category, contains:reply, close:price:5%, json_distance, latency "
        "or output_field:cost:lower, the functions in a file (scores.py), one of them (scores.py:polite), or a flow "
        "(judge.yaml). Name it with NAME=SCORE. Repeatable.",
        to="scores",
        multiple=True,
    ),
    _SCORES.option(
        "--max-scores N", "Compute at most N scores at once. [default: 8]", type=click.IntRange(1, 1000), default=8
    ),
    no_check_option(_CASES),
    BATCH.option(
        "--max-concurrency N",
        "Execute at most N steps at once, divided among the variants. [default: the server decides]",
        type=click.IntRange(1),
    ),
    group_options("retry", RetryOptions, *retry_options),
    labels_option("Record this label with the runs in the history. Repeatable.", section=HISTORY),
)
_results = (
    OUTPUT.option(
        "-O, --output PATH",
        "Save the evaluation in this folder for --resume and --baseline, or write this file: a page (.html), JUnit "
        "(.xml), the report (.json) or, with --worst, the worst cases (.jsonl). Repeatable.",
        to="paths",
        multiple=True,
        type=FILE,
    ),
    OUTPUT.option("--resume", "Continue the evaluation in the folder, and compute new scores."),
    _GATES.option(
        "--baseline FOLDER",
        "Compare with the earlier evaluation in this folder, and fail if a score is clearly worse.",
        type=FILE,
    ),
    OUTPUT.option(
        "--slice FIELD",
        "Also print scores for each tag (tags), or for each value of a metadata key or input field such as "
        "user.language.",
        to="slice_by",
    ),
    OUTPUT.option("--worst [SCORE=]N", "Print the N worst cases of the last variant, by the first score or by SCORE."),
)


@click.command("eval", cls=Command, main_options=_MAIN, conflicts=[one_mapping, retry_needed])
@group_options("options", _build_eval_options, *_cases, *_what, *_results)
@_GATES.option(
    "--fail-below SCORE=NUMBER",
    "Fail if a score's mean is below NUMBER, or above it if lower is better, as in failed=0.01. Repeatable. For a "
    "single variant, use VARIANT:SCORE=NUMBER.",
    to="below",
    multiple=True,
)
@_GATES.option(
    "--tolerance [SCORE=]NUMBER",
    "Allow scores to be this much worse than the baseline. Repeatable. [default: 0]",
    to="tolerances",
    multiple=True,
)
@_GATES.option("--strict", "Also fail if there are too few cases to tell whether a score is worse than the baseline.")
@server_options(default="embedded", reads_project=True)
@make_table_output_options(html="html", junit="junit")
def command(
    options: EvalOptions,
    below: tuple[str, ...],
    tolerances: tuple[str, ...],
    strict: bool,
    server: ServerOptions,
    output: Output,
) -> None:
    """Each variant of FLOW runs on all cases, and its outputs are scored. The table shows each score's mean and 95%
    confidence interval, and the change from the first variant. The verdict is 'unclear' if the change could be due to
    chance. To show an earlier evaluation again, pass its folder as FLOW. For a folder with several evaluations, the
    table shows the scores of the last 10 (or --limit N), oldest first.

    The exit code is 1 if a score fails --fail-below or is worse than the baseline, or if all items of a variant failed.
    With --baseline, durations get no verdict because they were measured at a different time. Failed runs, and scores
    that raise an exception, are counted but don't stop the evaluation.

    Use --resume with --output FOLDER to continue after Ctrl-C or a crash without repeating finished cases or scores.
    Scores are recomputed if their `version` has changed. An embedded server stops with the command, so unfinished runs
    are repeated.

    Functions in a scores file can accept the parameters input, output, expected and item. They return a number, true or
    false, a label, or a dict of these. A function whose name starts with _ is used only if you name it.
    """
    from stepflow_client.evaluation.gates import GateRules

    from ..evaluations.run_evaluation import run_or_load_evaluation

    limits = parse_score_limits(below, "--fail-below"), parse_score_limits(tolerances, "--tolerance", needs_score=False)
    run_or_load_evaluation(options, GateRules(*limits, strict=strict), server, output)
