"""`stepflow eval`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..evaluations.options import EvalOptions, classify_output_paths, parse_limits, parse_worst
from ..output.view import Output
from ..params.flow import (
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
    formatted_output,
    grouped,
    label_option,
    limit_option,
    server_options,
)
from ..params.parsing import Command
from ..runs.run_options import Retry
from ..settings.server_choice import ServerOptions

__all__ = ["command"]

_MAIN = "--cases --variant --score --repeat --output --resume --baseline --fail-below --worst --url --config --format"


_CASES, _JUDGEMENT, _SCORES, _VARIANTS = map(Section, ("Cases", "Judgement", "Scores", "Variants"))


def _evaluation(paths: Sequence[str], worst: str | None, retry: Retry, **given: Any) -> EvalOptions:
    return EvalOptions(
        files=classify_output_paths(paths),
        worst=None if worst is None else parse_worst(worst),
        retry=retry.options,
        **given,
    )


_cases = (
    flow_argument,
    _CASES.option(
        "--cases FILE",
        "The cases: CSV, JSON lines (.jsonl, or -), Parquet, or a list in a YAML or JSON file. The column or key "
        "'expected' is the expected output, the others are the input. Or history:QUERY: the completed runs of "
        "'stepflow history list QUERY', with their outputs as expected ones. [default: the test cases of the flow]",
        type=FILE,
    ),
    _CASES.option(
        "--cases-format",
        "Format of --cases. [default: by the file extension; JSON lines for -]",
        type=Choice(INPUT_FORMATS),
    ),
    _CASES.option(
        "--expected NAME", "The column or key of the expected output. [default: expected]", default="expected"
    ),
    limit_option("cases: the first ones", section=_CASES),
    _CASES.option(
        "--repeat N", "Run each case N times with each variant. [default: 1]", type=click.IntRange(1), default=1
    ),
)
_what = (
    _VARIANTS.option(
        "--variant WORDS",
        "A variant: NAME is the flow as it is, NAME:VARIABLE=VALUE sets a variable, NAME:STEP.input.KEY=VALUE a "
        "value of a step, NAME=FLOW is another flow. Repeatable; the same NAME adds to one variant. The others are "
        "compared with the first. [default: the flow as it is]",
        to="variants",
        multiple=True,
    ),
    setting_options,
    _SCORES.option(
        "--score SCORE",
        "A built-in score, such as exact:category, contains:reply, close:price:5%, json_distance, latency or "
        "output_field:cost:lower; scores.py for the functions of a file, scores.py:polite for one; or a flow, "
        "judge.yaml. NAME=SCORE names it. Repeatable.",
        to="scores",
        multiple=True,
    ),
    _SCORES.option(
        "--max-scores N",
        "Maximum number of scores to compute at once. [default: 8]",
        type=click.IntRange(1, 1000),
        default=8,
    ),
    no_check_option(_CASES),
    BATCH.option(
        "--max-concurrency N",
        "Maximum number of items to execute at once, over all variants. [default: the server decides]",
        type=click.IntRange(1),
    ),
    grouped("retry", Retry, *retry_options),
    label_option("Recorded with the runs in the history; repeatable.", section=HISTORY),
)
_results = (
    OUTPUT.option(
        "-O, --output PATH",
        "A folder that keeps the evaluation, for --resume and --baseline; or a file by its ending: the page "
        "(.html), JUnit (.xml), the report (.json), or with --worst the worst cases (.jsonl). Repeatable.",
        to="paths",
        multiple=True,
        type=FILE,
    ),
    OUTPUT.option("--resume", "Continue the evaluation in the folder; compute new scores."),
    _JUDGEMENT.option(
        "--baseline FOLDER",
        "Compare with the earlier evaluation in this folder, and fail if a score is clearly worse.",
        type=FILE,
    ),
    OUTPUT.option(
        "--slice FIELD",
        "Also print the scores for each tag (tags), or for each value of a field of the cases: a key of their "
        "metadata, or a field of the input, such as user.language.",
        to="slice_by",
    ),
    OUTPUT.option("--worst [SCORE=]N", "Print the N worst cases of the last variant, by the first score or by SCORE."),
)


@click.command("eval", cls=Command, main_options=_MAIN, conflicts=[one_mapping, retry_needed])
@grouped("options", _evaluation, *_cases, *_what, *_results)
@_JUDGEMENT.option(
    "--fail-below SCORE=NUMBER",
    "Fail if the mean of a score is below this; above it, if low values are good: failed=0.01. Repeatable; "
    "VARIANT:SCORE=NUMBER is about one variant.",
    to="below",
    multiple=True,
)
@_JUDGEMENT.option(
    "--tolerance [SCORE=]NUMBER",
    "How much worse than --baseline scores may be. Repeatable. [default: 0]",
    to="tolerances",
    multiple=True,
)
@_JUDGEMENT.option("--strict", "Fail too if the cases are too few to tell whether a score is worse than --baseline.")
@server_options(default="embedded", reads_project=True)
@formatted_output(html="html", junit="junit")
def command(
    options: EvalOptions,
    below: tuple[str, ...],
    tolerances: tuple[str, ...],
    strict: bool,
    server: ServerOptions,
    output: Output,
) -> None:
    """FLOW is run on all cases with each variant, and what it returns is scored. The table has the mean of each score
    with its 95% interval, and the change from the first variant; the verdict is 'unclear' where it may be chance. FLOW
    may also be the folder of an earlier evaluation, which is shown again, or a folder of several: the table then has
    each score of the last 10 (or --limit N), the oldest first.

    The exit code is 1 if a score is below --fail-below, worse than --baseline, or if all items of a variant failed.
    Times are not compared with --baseline: they were measured at another time.
    Failed runs and scores that raise are counted, and do not end the evaluation.

    With --output FOLDER, Ctrl-C or a crash loses nothing: --resume continues, and neither runs a case nor computes a
    score again. Scores whose function has changed are computed again. An embedded server ends with the command, so that
    runs in flight are run again.

    The functions of a scores file have any of the parameters input, output, expected and item, and return a number,
    true or false, a label, or a dict of these. Functions whose names begin with _ are not scores.
    """
    from stepflow_client.evaluation.gates import GateRules

    from ..evaluations.execute import run_evaluation

    limits = parse_limits(below, "--fail-below"), parse_limits(tolerances, "--tolerance", needs_score=False)
    run_evaluation(options, GateRules(*limits, strict=strict), server, output)
