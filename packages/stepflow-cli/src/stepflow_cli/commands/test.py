"""`stepflow test`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import Problem
from ..inputs.flow_loading import list_project_flows, load_project_settings
from ..output.colors_and_escaping import escape
from ..output.messages import note
from ..output.printing import Output
from ..params.click_commands import Command
from ..params.flow_run_options import rounds_option
from ..params.options import (
    FILE,
    OUTPUT,
    Section,
    excludes,
    lazy_complete,
    make_table_output_options,
    needs,
    server_options,
    timeout_seconds_option,
)
from ..settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.testing import Recording

    from ..flow_tests.case_filter import FileCases
    from ..flow_tests.run_test_files import CaseRunSettings, FileResults, TestClients

_CASES, _FILES = map(Section, ("Cases", "Files"))
_DURATION_SUFFIX = re.compile(r" \([<\d][\d.dhmsµ]*\)")


@click.command(
    "test",
    cls=Command,
    conflicts=(
        excludes("--update", "--repeat"),
        excludes("--record --replay"),
        needs("--replay-only", "--replay"),
        needs("--record-step", "--record"),
        excludes("--watch", "--update --record"),
    ),
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=lazy_complete("flow_files"))
@_CASES.option("--case GLOB", "Run only cases with a matching name. Repeatable.", to="patterns", multiple=True)
@_CASES.option("--tag TAG", "Run only cases with this tag. Repeatable.", to="tags", multiple=True)
@_CASES.option(
    "-k TEXT",
    "Run only cases with this text in their name or a tag. Combine several with and, or, not and parentheses: 'tea "
    "and not slow'.",
    to="expression",
)
@_CASES.option(
    "--touching NAME",
    "Run only cases that may execute this step, or a step with this component, such as /shop/price. Repeatable.",
    to="touched",
    multiple=True,
)
@_CASES.option("--last-failed, --lf", "Run only cases that failed last time, or all if none failed.", to="last_failed")
@_CASES.option(
    "--var NAME=VALUE",
    "Set a variable in flows that declare it, for cases that do not set it. Repeatable.",
    multiple=True,
)
@_CASES.option("--repeat N", "Run each case N times.", type=click.IntRange(1), default=1)
@_CASES.option("-x, --fail-fast", "Do not start more files after a case fails.")
@_CASES.option("--jobs N", "Run at most N files at once. [default: 4]", type=click.IntRange(1), default=4)
@timeout_seconds_option("Wait at most this long for each run of cases. [default: no limit]", _CASES)
@_FILES.option("--update", "Replace the expected outputs in the files with the actual outputs.", is_risky=True)
@_FILES.option("--record FILE", "Record step outcomes in this file.", type=FILE)
@_FILES.option(
    "--record-step GLOB",
    "Record only steps with a matching ID. Repeatable. [default: all]",
    to="record_steps",
    multiple=True,
)
@_FILES.option("--replay FILE", "Replay step outcomes from this file instead of executing the steps.", type=FILE)
@_FILES.option("--replay-only", "Fail cases that are missing from the --replay file, instead of executing their steps.")
@OUTPUT.option(
    "--coverage",
    "Show which steps no case reaches. With -o json, print a record for each step. Each case runs separately.",
)
@OUTPUT.option(
    "--fail-under PERCENT",
    "Fail if the cases reach less than this percentage of the steps; implies --coverage.",
    to="least",
    type=click.FloatRange(0, 100),
)
@_FILES.option("--junit FILE", "Write a JUnit XML report.", type=FILE)
@server_options(default="embedded", reads_project=True, has_config_default=False)
@rounds_option
@OUTPUT.option("--diff", "Show failed cases as a diff of expected and actual output.")
@make_table_output_options(github="github")
def command(
    paths: tuple[str, ...],
    update: bool,
    junit: str | None,
    diff: bool,
    server: ServerOptions,
    watch: bool,
    output: Output,
    **how: Any,
) -> None:
    """PATH can be a flow file, or a folder to search for flows with cases. By default, the project's flows are tested.
    Each file's cases run as one batch, except cases with mocks, recordings or different variables. An embedded server
    uses the configuration from the flow file (test.configFile or test.config), else from the project (test.config in
    stepflow.toml), else stepflow-config.test.yml next to the flow, else the one that 'stepflow run' uses.

    The command compares actual and expected outputs. The exit code is 1 if a case fails. Cases without an expected
    output are reported, but only fail if their run fails.
    """
    from fnmatch import fnmatchcase

    from stepflow_client.testing import Recording

    from ..flow_tests.case_filter import CaseFilter, select_cases_by_file
    from ..flow_tests.report import check_minimum_coverage
    from ..flow_tests.run_test_files import CaseRunSettings, open_test_clients

    named = paths or list_project_flows("pass at least one flow file or folder as PATH")
    choice = CaseFilter(how["patterns"], how["tags"], how["expression"], how["touched"], how["last_failed"])
    globs = how["record_steps"] or ("*",)

    def is_recorded(step_id: str) -> bool:
        return any(fnmatchcase(step_id, glob) for glob in globs)

    settings = CaseRunSettings(
        jobs=how["jobs"],
        repeat=how["repeat"],
        fail_fast=how["fail_fast"],
        timeout=how["timeout"],
        replay=Recording.load(how["replay"]) if how["replay"] else None,
        replay_only=how["replay_only"],
        record=is_recorded if how["record"] else None,
        times=junit is not None or output.format not in (None, "github"),
        coverage=how["coverage"] or how["least"] is not None,
    )

    def run_cases(clients: TestClients) -> None:
        plan = select_cases_by_file(named, choice, how["var"], with_untested=settings.coverage)
        for file in plan:
            # Report an invalid project file once, rather than once per case.
            load_project_settings(file.name)
        if settings.replay is not None and not settings.replay_only:
            _note_missing_recordings(plan, settings.replay)
        if not all(case.fault for file in plan for case in file.cases):
            clients.check_server()
        done = _run_and_print_results(plan, clients, settings, output, diff=diff, junit=junit)
        if how["record"]:
            _save_recordings(how["record"], is_recorded, done)
        updated = _update_expected_outputs(done) if update else set()
        cases = [(file.file.name, result) for file in done for result in file.results]
        failed = [each for name, each in cases if each.is_failed and (name, each.case.name) not in updated]
        if failed:
            has_outputs = any(result.verdict != "error" for result in failed)
            see = "" if diff else "to see the differences, use --diff; "
            hint = f"{see}to accept the actual outputs, use --update"
            message = f"{len(failed)} of {len(cases)} test case{'s' * (len(cases) != 1)} failed"
            raise Problem(message, kind="test_failed", hint=hint if has_outputs and not updated else None)
        if how["least"] is not None:
            check_minimum_coverage(done, how["least"])

    with open_test_clients(server) as clients:
        if not watch:
            run_cases(clients)
            return
        from ..file_watching import iter_watched_files, rerun_on_changes

        def run_next_round() -> None:
            clients.stop_if_config_changed()
            run_cases(clients)

        def list_files_to_watch() -> list[str]:
            # We only know the configurations once the servers have started.
            return [*(file for path in named for file in iter_watched_files(path)), *clients.config_files]

        rerun_on_changes(run_next_round, list_files_to_watch, noise=_DURATION_SUFFIX)


def _note_missing_recordings(plan: Sequence[FileCases], replay: Recording) -> None:
    from stepflow_client.testing.case_runs import may_execute_unmocked_step

    runnable = [(file.tests, case) for file in plan for case in file.cases if not case.fault]
    missing = [case.name for tests, case in runnable if may_execute_unmocked_step(tests, case, replay)]
    if missing:
        note(f"{replay.path} has no recording of {', '.join(missing)}; executing their steps")


def _run_and_print_results(
    plan: Sequence[FileCases],
    clients: TestClients,
    settings: CaseRunSettings,
    output: Output,
    *,
    diff: bool,
    junit: str | None,
) -> list[FileResults]:
    """Run the cases. Print each file's results as soon as they're available, followed by the coverage and a summary."""
    from ..flow_tests.case_filter import save_failed_case_names
    from ..flow_tests.report import (
        CASES,
        STEPS,
        format_coverage,
        format_file_results,
        format_github_annotations,
        format_github_unreached_steps,
        format_summary,
        list_case_records,
        list_step_coverage,
        write_junit_report,
    )
    from ..flow_tests.run_test_files import run_test_files

    started = time.monotonic()
    done: list[FileResults] = []

    def results() -> Iterator[FileResults]:
        for file in run_test_files(plan, clients, settings):
            done.append(file)
            yield file

    if output.format == "github":
        output.write_texts((line + "\n" for file in results() for line in format_github_annotations(file)), flush=True)
        output.write_texts((line + "\n" for line in format_github_unreached_steps(done)), flush=True)
    elif output.format is None and not output.fields:
        output.write_texts(
            (line + "\n" for file in results() for line in format_file_results(file, diff=diff)), flush=True
        )
        output.write_texts((line + "\n" for line in format_coverage(done)), flush=True)
    elif settings.coverage:
        output.print_records((each for file in results() for each in list_step_coverage(file)), STEPS, flush=True)
    else:
        output.print_records((record for file in results() for record in list_case_records(file)), CASES, flush=True)
    seconds = time.monotonic() - started
    for file in done:
        save_failed_case_names(file.file.tests, file.results)
    if junit is not None:
        write_junit_report(junit, done, seconds)
    if output.format in (None, "table", "github"):
        click.echo(escape(format_summary(done, seconds)), err=True)
    return done


def _save_recordings(path: str, is_recorded: Callable[[str], bool], done: Iterable[FileResults]) -> None:
    from os.path import exists

    from stepflow_client.testing import Recording

    recording = Recording.load(path) if exists(path) else Recording(path)
    count = 0
    for file in done:
        flow = file.file.tests.path
        for result in file.results:
            case = result.case.name
            if result.attempt == 1 and result.result is not None:
                # Also drop steps that the case no longer executes, because a replay would look for their inputs.
                for step_id in filter(is_recorded, recording.steps(flow, case)):
                    recording.forget(flow, case, step_id)
            for step_id, step in result.steps.items():
                recording.add(flow, case, step_id, *step)
            count += len(result.steps)
    recording.save()
    note(f"recorded {count} step outcomes in {path}")


def _update_expected_outputs(done: Iterable[FileResults]) -> set[tuple[str, str]]:
    """Update the expected outputs and return the file and case name of each update."""
    from ..flow_tests.run_test_files import write_actual_outputs

    updated: set[tuple[str, str]] = set()
    for file in done:
        names = write_actual_outputs(file)
        updated |= {(file.file.name, name) for name in names}
        # Point these cases out. Otherwise, failures caused by a server outage could silently become the expected
        # outputs.
        failing = {
            result.case.name
            for result in file.results
            if result.result is not None
            and not result.result.is_success
            and (result.case.expected or {"outcome": "success"})["outcome"] == "success"
        }
        if names:
            texts = (f"{name} (which now expects a failure)" if name in failing else name for name in names)
            note(f"updated {file.file.name}: {', '.join(texts)}")
    return updated
