"""Run an evaluation, or load an earlier one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowFileError, TransportError
from stepflow_client._command import unify_overrides

from ..errors import convert_to_problem, interrupted_problem, require_extra, usage
from ..inputs.command_line_values import open_input_stream
from ..inputs.flow_loading import get_case_values, list_example_and_case_names, load_flow_argument
from ..output.messages import note, reporting_outages, show_spinner
from ..output.printing import Output
from ..params.runs import parse_user_run_query
from ..server.connect import Target, build_client_arguments, connect
from ..settings.run_history import open_history
from ..settings.server_choice import ServerOptions, Setting, choose_server, list_equivalent_urls
from .options import EvalOptions, build_variants, check_gate_names, get_flow_arguments_by_variant, load_scores
from .report import print_and_write_report, print_score_trend

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationCase, EvaluationReport, Variant
    from stepflow_client.evaluation.gates import GateRules

# Use at most this many recorded runs as cases, unless `--limit` says otherwise.
_DEFAULT_RUN_LIMIT = 1_000


def run_or_load_evaluation(options: EvalOptions, gate_rules: GateRules, server: ServerOptions, output: Output) -> None:
    """Run or load an evaluation, print it, write its files, and raise a problem if a gate fails.

    Raises:
        Problem: If an option is invalid, the evaluation is interrupted, or a gate fails.
    """
    from stepflow_client.evaluation import EvaluationReport

    options.check_options(gate_rules)
    require_extra("an evaluation", "eval", "numpy")
    if options.shows_several_evaluations:
        print_score_trend(options, output)
    elif options.shows_earlier_evaluation:
        report = EvaluationReport.load(options.flow)
        check_gate_names(gate_rules, report.scores, report.variants)
        print_and_write_report(report, options, gate_rules, output)
    else:
        plan = EvaluationPlan(options)
        check_gate_names(gate_rules, plan.scores, ["flow"] if plan.variants is None else plan.variants)
        with connect(server, flow=options.flow) as target:
            report = plan.run(target)
            plan.note_empty_scores(report)
            print_and_write_report(report, options, gate_rules, output, target)


class EvaluationPlan:
    """An evaluation whose flows, variants and scores are loaded before the first request is sent.

    Args:
        options: The options.
    """

    def __init__(self, options: EvalOptions) -> None:
        """Load the flows, variants and scores.

        Raises:
            Problem, FlowFileError: If a flow, variant or score can't be loaded.
        """
        options.values.check_value_conflicts(flow=options.flow, inputs=options.cases, option="--cases")
        self._options = options
        self._flow = load_flow_argument(options.flow)
        self._variables = options.values.read_variables(self._flow)
        self._overrides = options.values.read_overrides(self._flow)
        self.variants: Mapping[str, Variant] | None = build_variants(options.variants, self._flow)
        self.scores = load_scores(options.scores)
        if options.history_cases_query is not None and not self.scores:
            # Expect the same outputs as the recorded runs.
            self.scores = load_scores(["exact"])
        names = [] if options.cases else list_example_and_case_names({"test": self._flow.get("test")})
        if options.cases is None and not names:
            raise usage("the flow has no test cases to evaluate", "pass the cases with --cases FILE")
        for key, hint in (("variables", "; to set variables, use --var or --variant"), ("mocks", "")):
            if any(get_case_values(self._flow, name, key) for name in names):
                note(f"warning: the {key} of test cases have no effect here{hint}")
        if options.check:
            # Check the flows before anything runs, because the evaluation's folder can't be reused once a flow has been
            # fixed.
            from ..validation.before_run import check_before_run, read_mapping_flow_text

            changed = set(unify_overrides(self._overrides) or {})
            for variant in (self.variants or {}).values():
                changed |= set(variant.overrides or {})
            variant_files = get_flow_arguments_by_variant(options.variants, options.flow).values()
            for file in dict.fromkeys([options.flow, *variant_files]):
                if file != "-":
                    check_before_run(read_mapping_flow_text(file), file, load_flow_argument(file), changed=changed)

    def run(self, target: Target) -> EvaluationReport:
        """Run the evaluation and return its report.

        Raises:
            Problem: If the evaluation is interrupted or the connection to the server is lost. The hint says how to
                continue.
            StepflowClientError: If the flow, a case or the folder is invalid.
        """
        from stepflow_client.evaluation import sync_evaluate

        options = self._options
        # The history records only files, not flow IDs.
        file = options.flow if os.path.isfile(options.flow) else None
        recording = target.history.recording_runs(flow=self._flow, flow_file=file, labels=options.labels)
        folder = options.files.folder
        continuation = None if folder is None else "to continue, run the same command with --resume"
        done: list[int] = [0]
        try:
            # Scores can print things. Keep their output off standard output, which is reserved for the report.
            printed = redirect_stdout(sys.stderr)
            # If a server was specified, the client's warnings have already been printed.
            warnings = nullcontext() if target.runtime is None else reporting_outages()
            with (
                show_spinner("starting the evaluation") as spinner,
                warnings,
                printed,
                recording,
                self._open_cases(target) as cases,
            ):

                def show_progress(progress: Any) -> None:
                    done[0] = progress.done
                    spinner.update(str(progress))

                return sync_evaluate(
                    target.client,
                    file or self._flow,
                    cases,
                    variants=self.variants,
                    scores=self.scores,
                    repeat=options.repeat,
                    journal=folder,
                    expected=options.expected,
                    variables=self._variables,
                    variables_from_env=options.values.variables_from_env,
                    overrides=self._overrides,
                    check_input=options.check,
                    max_concurrency=options.max_concurrency,
                    max_scores=options.max_scores,
                    # An embedded server's runs are lost when it stops.
                    on_lost="rerun" if target.ends_with_command else "fail",
                    on_cancel="cancel" if folder is None else "detach",
                    labels=options.labels if target.history.is_on else None,
                    progress=show_progress,
                    **options.retry,
                )
        except KeyboardInterrupt:
            raise interrupted_problem(f"interrupted after {done[0]:,} items", continuation) from None
        except TransportError as error:
            raise convert_to_problem(error, hint=continuation or error.hint) from None

    @contextmanager
    def _open_cases(self, target: Target) -> Iterator[Any]:
        """Yield the cases."""
        from stepflow_client.evaluation.records import resolve_cases

        options, query = self._options, self._options.history_cases_query
        if options.cases is None:
            # Read the flow's own cases from its file so that errors include line numbers.
            source = options.flow if os.path.isfile(options.flow) else self._flow
            yield islice(resolve_cases(None, source, self._flow, options.expected), options.limit)
        elif query is not None:
            yield load_cases_from_history(query, self._variables, options.limit, target)
        else:
            try:
                with open_input_stream(options.cases, options.cases_format, self._flow) as rows:
                    yield islice(rows, options.limit)
            except FlowFileError as error:
                # The client's hint refers to a function argument, not to a command-line option.
                raise usage(error.message, None if error.line else error.hint) from None

    def note_empty_scores(self, report: EvaluationReport) -> None:
        """Print a note about any scores that have no values, unless every item failed."""
        remarks = " ".join(report.summary().remarks)
        failed = [report.compare(variant, variant).failed for variant in report.variants]
        if all(comparison is None or comparison.after == 1 for comparison in failed):
            return
        for name, score in self.scores.items():
            has_value = any(each == name or each.startswith((f"{name}.", f"{name}=")) for each in report.scores)
            if not has_value and f"{name} failed" not in remarks:
                why = "no case has an expected output; name its column or key with --expected NAME"
                if getattr(score, "needs_duration", False):
                    why = "this server does not report the times of steps"
                note(f"{name} has no value: {why}")


def load_cases_from_history(
    query: str, variables: Mapping[str, Any] | None, limit: int | None, target: Target
) -> list[EvaluationCase]:
    """Return the completed runs for `--cases history:QUERY`. They may be on a different server than `target`.

    Raises:
        Problem: If the query is invalid, matches nothing, or matches runs on several servers.
        TransportError: If their server can't be reached.
    """
    from stepflow_client import SyncStepflowClient
    from stepflow_client.evaluation import sync_history_cases

    history, search = open_history(), str(parse_user_run_query(query)) or None
    runs = history.search(search, status="completed", limit=limit or _DEFAULT_RUN_LIMIT)
    urls = {run.server for run in runs if not run.is_embedded and run.server is not None}
    # The history may have recorded one server under several URLs.
    servers = {min(list_equivalent_urls(url), default=url): url for url in urls}
    if len(servers) != 1:
        listed = ", ".join(sorted(servers.values()))
        searched = f"runs on {len(servers)} servers: {listed}" if servers else "no completed runs"
        ended = "runs on an embedded server are lost when it stops; " if runs and not servers else ""
        hint = f"{ended}to see a query's runs, run 'stepflow history list'; a query may include a server's URL"
        raise usage(f"--cases history:{query} finds {searched}", hint)
    (url,), arguments = servers.values(), target.arguments
    if url not in list_equivalent_urls(target.client.url):
        run_server = Setting("url", url, f"--cases history:{query}")
        arguments = build_client_arguments(choose_server(ServerOptions(default="server", run_server=run_server)))
    with SyncStepflowClient(**arguments, history=history) as client:
        return sync_history_cases(client, search, variables=variables, limit=limit or _DEFAULT_RUN_LIMIT)
