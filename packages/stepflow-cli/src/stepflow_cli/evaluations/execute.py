"""Running an evaluation, or loading an earlier one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowFileError, TransportError
from stepflow_client._command import merge_overrides

from ..errors import Problem, check_extra, problem_of, usage
from ..exit_codes import ExitCode
from ..inputs.batch import read_inputs
from ..inputs.flow import case_names, load_flow_file
from ..output.messages import note, waiting
from ..output.view import Output
from ..server.connect import Target, connect
from ..settings.server_choice import ServerOptions
from .limits import check_demands, judge
from .options import Evaluation
from .recorded import recorded_cases
from .report import commands_for, print_report, worst_cases, write_files
from .scores import read_scores
from .variants import flow_files, read_variants

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationReport, Variant, WorstCase
    from stepflow_client.evaluation.gates import Demands


class Plan:
    """What is evaluated, read before a server is asked.

    Args:
        asked: The options.
    """

    def __init__(self, asked: Evaluation) -> None:
        """Read flows, variants and scores.

        Raises:
            Problem, FlowFileError: If one of them cannot be read.
        """
        asked.values.check(flow=asked.flow, inputs=asked.cases, option="--cases")
        self.asked = asked
        self.flow = load_flow_file(asked.flow)
        self.variables = asked.values.read_variables(self.flow)
        self.overrides = asked.values.read_overrides(self.flow)
        self.variants: Mapping[str, Variant] | None = read_variants(asked.variants, self.flow)
        self.scores = read_scores(asked.scores)
        if asked.history_query is not None and not self.scores:
            # What was returned is what is expected.
            self.scores = read_scores(["exact"])
        if asked.cases is None and not case_names({"test": self.flow.get("test")}):
            raise usage("the flow has no test cases to evaluate", "--cases FILE names the cases")
        if asked.check:
            self._check_flows()

    def _check_flows(self) -> None:
        """Raise if a run would fail: a folder is of the flows with which it begins, so that errors are found before."""
        from ..validation.before_run import check_before_run, read_flow_text

        changed = set(merge_overrides(self.overrides) or {})
        for variant in (self.variants or {}).values():
            changed |= set(variant.overrides or {})
        for file in dict.fromkeys([self.asked.flow, *flow_files(self.asked.variants, self.asked.flow).values()]):
            if file != "-":
                check_before_run(read_flow_text(file), file, load_flow_file(file), changed=changed)

    @property
    def variant_names(self) -> list[str]:
        """The names of the variants."""
        return ["flow"] if self.variants is None else [*self.variants]

    def options(self, target: Target) -> dict[str, Any]:
        """Return the options of `evaluate`."""
        asked = self.asked
        return {
            "variants": self.variants,
            "scores": self.scores,
            "repeat": asked.repeat,
            "journal": asked.files.folder,
            "expected": asked.expected,
            "variables": self.variables,
            "variables_from_env": asked.values.variables_from_env,
            "overrides": self.overrides,
            "check_input": asked.check,
            "max_concurrency": asked.max_concurrency,
            "max_scores": asked.max_scores,
            **asked.retry,
            # The runs of an embedded server end with it.
            "on_lost": "rerun" if target.ends_with_command else "fail",
            "on_cancel": "cancel" if asked.files.folder is None else "detach",
            "labels": asked.labels if target.history.is_on else None,
        }

    @contextmanager
    def cases(self) -> Iterator[Any]:
        """Yield the cases, or what `evaluate` reads them from."""
        asked = self.asked
        if asked.cases is None:
            # Errors in the cases of a file have their lines.
            yield None
            return
        if (query := asked.history_query) is not None:
            yield recorded_cases(query, self.variables, asked.limit)
            return
        try:
            with read_inputs(asked.cases, asked.cases_format, self.flow) as rows:
                yield islice(rows, asked.limit)
        except FlowFileError as error:
            # The client's hint is about an argument.
            raise usage(error.message, None if error.line else error.hint) from None


def evaluated(asked: Evaluation, demands: Demands, server: ServerOptions, output: Output) -> None:
    """Evaluate or load an evaluation, print it, write its files, and judge it.

    Raises:
        Problem: If options are wrong, if it is interrupted, or if a score is not what the limits demand.
    """
    from stepflow_client.evaluation import EvaluationReport

    asked.check_options()
    check_extra("an evaluation", "eval", "numpy")
    if asked.only_shows:
        report = EvaluationReport.load(asked.flow)
        check_demands(demands, report.scores, report.variants)
        _finish(report, asked, demands, output, lambda worst: {})
        return
    plan = Plan(asked)
    check_demands(demands, plan.scores, plan.variant_names)
    with connect(server, flow=asked.flow) as target:
        report = run_evaluation(target, plan)
        _note_empty(report, plan)
        _finish(report, asked, demands, output, lambda worst: commands_for(target, worst, asked))


def _note_empty(report: EvaluationReport, plan: Plan) -> None:
    """Print which scores have no value at all, although items completed."""
    errors = " ".join(report.summary().remarks)
    failed = [report.compare(each, each).failed for each in report.variants]
    if all(each is None or each.after == 1 for each in failed):
        return
    for name, score in plan.scores.items():
        is_there = any(each == name or each.startswith((f"{name}.", f"{name}=")) for each in report.scores)
        if not is_there and f"{name} failed" not in errors:
            why = "no case has an expected output; --expected NAME names its column or key"
            if getattr(score, "needs_duration", False):
                why = "this server does not report the times of steps"
            note(f"{name} has no value: {why}")


def _finish(
    report: EvaluationReport,
    asked: Evaluation,
    demands: Demands,
    output: Output,
    commands: Callable[[Sequence[WorstCase] | None], Mapping[str, str]],
) -> None:
    from stepflow_client.evaluation.gates import gates_of

    if asked.baseline is not None:
        from stepflow_client.evaluation import EvaluationReport

        report = report.with_baseline(EvaluationReport.load(asked.baseline))
    worst = worst_cases(report, asked.worst)
    gates = list(gates_of(report, demands))
    slices = None if asked.slice_by is None else report.slice_scores(asked.slice_by)
    print_report(report, worst, gates, output, commands(worst), slices)
    write_files(report, worst, asked.files, gates)
    judge(gates)


def run_evaluation(target: Target, plan: Plan) -> EvaluationReport:
    """Evaluate, and return the report.

    Raises:
        Problem: If it is interrupted, or the server is lost; the hint says how to continue.
        StepflowClientError: If the flow, a case or the folder is wrong.
    """
    from stepflow_client.evaluation import sync_evaluate

    asked = plan.asked
    recording = target.history.recording(flow=plan.flow, flow_file=_file(asked.flow), labels=asked.labels)
    # What scores print is no result of the command.
    printed = redirect_stdout(sys.stderr)
    done: list[int] = [0]
    try:
        with waiting("starting the evaluation") as spinner, printed, recording, plan.cases() as cases:

            def show(now: Any) -> None:
                done[0] = now.done
                spinner.update(str(now))

            flow = _file(asked.flow) or plan.flow
            return sync_evaluate(target.client, flow, cases, progress=show, **plan.options(target))
    except KeyboardInterrupt:
        raise Problem(
            f"interrupted after {done[0]:,} items",
            kind="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            hint=_continuation(asked),
        ) from None
    except TransportError as error:
        raise problem_of(error, hint=_continuation(asked) or error.hint) from None


def _continuation(asked: Evaluation) -> str | None:
    return None if asked.files.folder is None else "the same command with --resume continues"


def _file(flow: str) -> str | None:
    """Return the flow if it is a file, whose name the history keeps."""
    return flow if os.path.isfile(flow) else None
