"""`stepflow eval`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..errors import usage
from ..evaluations.limits import Limits, read_limits, read_worst
from ..evaluations.options import Evaluation, files_of
from ..output.view import Output
from ..params.batch import FORMATS, retry_options
from ..params.flow import flow_argument, no_check_option, setting_options
from ..params.labels import label_option, labels_of
from ..params.options import formatted_output, limit_option, option_in, server_options, together
from ..params.parsing import FILE, Choice, Command
from ..runs.job import Retry
from ..settings.server_choice import ServerOptions

__all__ = ["command"]

_MAIN = (
    "--cases",
    "--variant",
    "--score",
    "--repeat",
    "--output",
    "--resume",
    "--baseline",
    "--fail-below",
    "--worst",
    "--share",
    "--url",
    "--config",
    "--format",
)


_GIVEN = ("paths", *(name for name in Evaluation._fields if name != "files"))


def _evaluation(
    paths: Sequence[str], worst: str | None, labels: Sequence[str], retry: Retry, **given: Any
) -> Evaluation:
    if retry.codes and retry.retries is None:
        raise usage("--retry-on needs --retry N")
    return Evaluation(
        files=files_of(paths),
        worst=None if worst is None else read_worst(worst),
        labels=labels_of(labels),
        retry=retry.options,
        **given,
    )


_cases = (
    flow_argument,
    option_in(
        "--cases",
        type=FILE,
        section="Cases",
        metavar="FILE",
        help="The cases: CSV, JSON lines (.jsonl, or -), Parquet, or a list in a YAML or JSON file. The column or "
        "key 'expected' is the expected output, the others are the input. [default: the test cases of the flow]",
    ),
    option_in(
        "--cases-format",
        type=Choice(FORMATS),
        section="Cases",
        help="What --cases holds. [default: by the file extension; JSON lines for -]",
    ),
    option_in(
        "--expected",
        default="expected",
        section="Cases",
        metavar="NAME",
        help="The column or key of the expected output. [default: expected]",
    ),
    limit_option("cases: the first ones", section="Cases"),
    option_in(
        "--repeat",
        type=click.IntRange(1),
        default=1,
        section="Cases",
        metavar="N",
        help="Run each case N times with each variant. [default: 1]",
    ),
)
_what = (
    option_in(
        "--variant",
        "variants",
        multiple=True,
        section="Variants",
        metavar="WORDS",
        help="A variant: NAME is the flow as it is, NAME:VARIABLE=VALUE sets a variable, NAME:STEP.input.KEY=VALUE a "
        "value of a step, NAME=FLOW is another flow. Repeatable; the same NAME adds to one variant. The others are "
        "compared with the first. [default: the flow as it is]",
    ),
    setting_options,
    option_in(
        "--share",
        is_flag=True,
        section="Variants",
        help="Run steps that no variant changes only once for each case.",
    ),
    option_in(
        "--score",
        "scores",
        multiple=True,
        section="Scores",
        metavar="SCORE",
        help="A built-in score, such as exact:category, contains:reply, close:price:5%, json_distance, latency or "
        "output_field:cost:lower; scores.py for the functions of a file, scores.py:polite for one; or a flow, "
        "judge.yaml. NAME=SCORE names it. Repeatable.",
    ),
    option_in(
        "--max-scores",
        type=click.IntRange(1, 1000),
        default=8,
        section="Scores",
        metavar="N",
        help="How many scores are computed at once. [default: 8]",
    ),
    no_check_option("Cases"),
    option_in(
        "--max-concurrency",
        type=click.IntRange(1),
        section="Batch",
        metavar="N",
        help="How many items are executed at once, over all variants. [default: the server decides]",
    ),
    together("retry", Retry, *retry_options()),
    label_option("Recorded with the runs in the history; repeatable.", section="History"),
)
_results = (
    option_in(
        "-O",
        "--output",
        "paths",
        multiple=True,
        type=FILE,
        section="Output",
        metavar="PATH",
        help="A folder that keeps the evaluation, for --resume and --baseline; or a file by its ending: the page "
        "(.html), JUnit (.xml), the report (.json), or with --worst the worst cases (.jsonl). Repeatable.",
    ),
    option_in(
        "--resume", is_flag=True, section="Output", help="Continue the evaluation in the folder; compute new scores."
    ),
    option_in(
        "--baseline",
        type=FILE,
        section="Judgement",
        metavar="FOLDER",
        help="Compare with the earlier evaluation in this folder, and fail if a score is clearly worse.",
    ),
    option_in(
        "--worst",
        section="Output",
        metavar="[SCORE=]N",
        help="Print the N worst cases of the last variant, by the first score or by SCORE.",
    ),
)


@click.command("eval", cls=Command, main_options=_MAIN)
@together("asked", _evaluation, *_cases, *_what, *_results, own=_GIVEN)
@option_in(
    "--fail-below",
    "below",
    multiple=True,
    section="Judgement",
    metavar="SCORE=NUMBER",
    help="Fail if the mean of a score is below this; above it, if low values are good: failed=0.01. Repeatable; "
    "VARIANT:SCORE=NUMBER is about one variant.",
)
@option_in(
    "--tolerance",
    "tolerances",
    multiple=True,
    section="Judgement",
    metavar="[SCORE=]NUMBER",
    help="How much worse than --baseline scores may be. Repeatable. [default: 0]",
)
@server_options(default="embedded", reads_project=True)
@formatted_output(html="html", junit="junit")
def command(
    asked: Evaluation, below: tuple[str, ...], tolerances: tuple[str, ...], server: ServerOptions, output: Output
) -> None:
    """FLOW is run on all cases with each variant, and what it returns is scored. The table has the mean of each score
    with its 95% interval, and the change from the first variant; the verdict is 'unclear' where it may be chance. FLOW
    may also be the folder of an earlier evaluation, which is shown again.

    The exit code is 1 if a score is below --fail-below, worse than --baseline, or if all items of a variant failed.
    Failed runs and scores that raise are counted, and do not end the evaluation.

    With --output FOLDER, Ctrl-C or a crash loses nothing: --resume continues, and neither runs a case nor computes a
    score again. Scores whose function has changed are computed again. An embedded server ends with the command, so that
    runs in flight are run again.

    The functions of a scores file have any of the parameters input, output, expected and item, and return a number,
    true or false, a label, or a dict of these. Functions whose names begin with _ are no scores.
    """
    from ..evaluations.execute import evaluated

    limits = Limits(read_limits(below, "--fail-below"), read_limits(tolerances, "--tolerance", needs_score=False))
    evaluated(asked, limits, server, output)
