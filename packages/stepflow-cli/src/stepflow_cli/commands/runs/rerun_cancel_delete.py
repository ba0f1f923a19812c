"""`stepflow runs rerun`, `cancel` and `delete`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click
from stepflow_client import StepflowClientError

from ...errors import Problem
from ...inputs.command_line_values import RunValues, read_batch_inputs
from ...inputs.flow_loading import load_flow_unless_id
from ...output.messages import note, show_spinner
from ...output.printing import Output
from ...output.record_views import View, columns
from ...params.click_commands import Command
from ...params.flow_run_options import history_options, one_input, one_mapping, value_options
from ...params.options import (
    FILE,
    Confirm,
    Section,
    WaitOptions,
    confirm_option,
    excludes,
    file_output_options,
    group_options,
    lazy_complete,
    output_options,
    running_server_options,
    timeout_option,
)
from ...params.runs import describe_runs, run_argument, runs_argument
from ...records.print_results import convert_results_to_outcomes, print_batch_results, print_run_result
from ...records.runs import RUN
from ...runs.explain_failures import find_failure_hint
from ...runs.find_runs import check_flow_matches_run, connect_to_run, connect_to_runs
from ...runs.process_several_runs import (
    fetch_deletion_status,
    for_each_run,
    hinting_return,
    note_undeleted_objects,
    print_processed_runs,
    raise_worst_problem,
)
from ...runs.reuse_step_outputs import get_next_attempt_number, note_rerun_plan, print_rerun_plan
from ...server.connect import Target
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import Keep, SyncStepflowClient
    from stepflow_client.types.runs import SnapshotPart

_RERUN = Section("Rerun")


class _RerunOptions(NamedTuple):
    run_id: str
    keep: Keep
    items: tuple[int, ...]
    flow: str | None
    """The file or ID of a changed flow."""
    force: bool
    dry_run: bool
    idempotency_key: str | None
    inputs: str | None
    values: RunValues
    about: dict[str, Any]
    """Labels and a note for the history."""


def _choose_steps_to_keep(
    *, before: str | None, all_except: str | None, failed: bool, only_missing: bool, only_changed: bool
) -> Keep:
    from stepflow_client import Keep

    if all_except is not None:
        return Keep(all_except=all_except)
    keeps_completed = failed or only_missing or before is not None
    steps: Literal["unchanged", "completed", "nothing"] = "completed" if keeps_completed else "nothing"
    return Keep("unchanged" if only_changed else steps, before=before, succeeded_items=failed)


_MAIN = "--from --failed --only-missing --flow --dry-run --input-json --var --set --timeout --url --format"


@click.command(
    "rerun",
    cls=Command,
    main_options=_MAIN,
    conflicts=(
        one_input,
        one_mapping,
        excludes("--step", "--from --failed --only-missing --only-changed --force", "--step executes only one step"),
        excludes("--only-changed --force"),
    ),
)
@group_options(
    "options",
    _RerunOptions,
    run_argument,
    group_options(
        "keep",
        _choose_steps_to_keep,
        _RERUN.option("--from STEP", "Execute this step and all steps that depend on it.", to="before"),
        _RERUN.option("--failed", "Rerun only items that did not succeed."),
        _RERUN.option(
            "--only-missing", "Execute only new steps, steps that did not complete, and steps that depend on them."
        ),
        _RERUN.option(
            "--only-changed",
            "Execute the same steps as --only-missing, and steps whose definition, input or variables changed.",
        ),
        _RERUN.option("--step STEP", "Execute only this step.", to="all_except"),
    ),
    _RERUN.option(
        "--item N",
        "Rerun only this item, counted from 0. Repeatable.",
        to="items",
        type=click.IntRange(min=0),
        multiple=True,
    ),
    _RERUN.option(
        "--flow FILE",
        "Use this changed version of the flow: a file or an ID.",
        shell_complete=lazy_complete("flow_files"),
    ),
    _RERUN.option("--force", "Keep steps even if they have changed.", is_risky=True),
    _RERUN.option("--dry-run", "Only print what would be kept and executed."),
    _RERUN.option(
        "--idempotency-key KEY",
        "Create the new runs only once for this key. Repeating the command with the same key returns them.",
    ),
    _RERUN.option("--inputs FILE", "Read new inputs for a batch from this file, as 'stepflow batch' does.", type=FILE),
    value_options,
    history_options,
)
@timeout_option
@running_server_options
@file_output_options
def rerun_command(options: _RerunOptions, wait: WaitOptions, server: ServerOptions, output: Output) -> None:
    """Kept steps return their earlier output instead of being executed. Without --from, --failed, --only-missing,
    --only-changed or --step, all steps are executed. By itself, --failed keeps the completed steps of the failed items.
    While editing a flow, use 'stepflow run FLOW --reuse @last'.

    If the run was started on this machine, its input, variables and overrides come from the history. An input that you
    pass replaces the recorded input. Piped input is read only with --stdin-format, or where you pass -. Variables and
    overrides that you pass take precedence. Secret variables aren't recorded, so pass them again.

    Keeping step outputs requires server 0.12 or newer. On older servers, --failed reruns every step of the failed
    items.

    The command prints the same output as 'run'. For a batch, it prints one line for each item of the earlier run,
    including kept items. With --item, it prints only that item, and the exit code and any new input apply to it.
    """
    options.values.check_value_conflicts(flow=options.flow or "", inputs=options.inputs)
    changed = None if options.flow is None else load_flow_unless_id(options.flow)
    with connect_to_run(server, options.run_id, announce_runs=True) as (target, run_id):
        arguments = _build_rerun_arguments(target, run_id, options, changed)
        plan = target.client.plan_rerun(run_id, **arguments)
        if options.dry_run:
            print_rerun_plan(plan, output)
            return
        note_rerun_plan(plan, get_next_attempt_number(target, run_id))
        again = target.build_command_for_run("runs list --limit", "5")
        with (
            target.history.recording_runs(**options.about),
            hinting_return(target, None, wait, again),
            show_spinner(f"rerunning {run_id}"),
        ):
            rerun = target.client.rerun(
                run_id,
                **arguments,
                variables_from_env=options.values.variables_from_env,
                idempotency_key=options.idempotency_key,
                timeout=wait.timeout,
            )
            for rerun_id in rerun.run_ids if options.idempotency_key is not None else ():
                # A run that already existed doesn't have this command's labels and note yet.
                target.history.annotate(rerun_id)
        # An outcome's index is the index of its item in the earlier run.
        outcomes = convert_results_to_outcomes(rerun.results)
        outcomes = [each for each in outcomes if not options.items or each.index in options.items]
        if len(outcomes) != 1:
            print_batch_results(rerun.run_ids, outcomes, output)
            return
        result = outcomes[0].result
        try:
            print_run_result(result, output)
        except Problem as problem:
            if problem.kind == "run_failed" and problem.hint is None:
                snapshot = target.client.snapshot(result.run_id, include=["items", "flow", "arguments"])
                flow, given = snapshot.flow, snapshot.arguments
                if flow is not None and given is not None and given.inputs:
                    problem.hint = find_failure_hint(target, result, flow, given.inputs[0], given.variables)
            raise


def _build_rerun_arguments(
    target: Target, run_id: str, options: _RerunOptions, flow: dict[str, Any] | str | None
) -> dict[str, Any]:
    """Return arguments for the client's `plan_rerun`.

    If no flow was passed, fetch it, because parsing values requires it.
    """
    arguments: dict[str, Any] = {"keep": options.keep, "flow": flow, "items": options.items or None}
    arguments["force"] = options.force
    if flow is None:
        keeps = options.keep.steps != "nothing"
        parts: list[SnapshotPart] = ["items", "flow", "steps"] if keeps else ["items", "flow"]
        flow = dict(target.client.snapshot(run_id, include=parts).flow or {})
    elif isinstance(flow, str):
        flow = target.client.get_flow(flow).flow
    if options.flow is not None:
        check_flow_matches_run(target, run_id, target.client.get_run_flow(run_id).flow, flow, options.flow)
    values = options.values
    arguments |= {"overrides": values.read_overrides(flow), "variables": values.read_variables(flow)}
    if options.inputs is not None:
        form = values.stdin_format if options.inputs == "-" else None
        arguments["input"] = read_batch_inputs(options.inputs, form, flow)
    elif values.input or values.example is not None or values.stdin_format:
        # Wrap the input in a list, because an input that is itself a list would be treated as a batch.
        arguments["input"] = [values.read_input(flow)]
    return arguments


_DELETION_VIEW = View(columns("run_id:id", "status:status"))


@click.command("cancel", cls=Command)
@runs_argument
@confirm_option
@running_server_options
@output_options
def cancel_command(ids: list[str], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """Use - as RUN to read IDs from standard input, one per line.

    On released servers, the running step finishes, later steps still start, and the final status may be completed or
    failed. A run that has already ended isn't changed, and the exit code is 1.
    """
    problems: list[Problem] = []
    with connect_to_runs(server, ids, announce_runs=True) as (target, ids):
        if ids:
            confirm(f"cancel {describe_runs(ids)}")
        cancelled = list(for_each_run(ids, target.client.cancel_run, problems))
        executing: list[str] = []
        if len(cancelled) == 1:
            # Ignore errors here: the run has already been cancelled, and we only need its steps for the message.
            with suppress(StepflowClientError):
                executing = target.client.explain_run(cancelled[0].run_id).may_be_executing
    print_processed_runs(output, [run.to_dict() for run in cancelled], RUN)
    if cancelled:
        note("marked as cancelled; released servers do not stop a run, so it continues to its end")
    if executing:
        note(f"steps that may still be executing: {', '.join(executing)}")
    raise_worst_problem(problems)


@click.command("delete", cls=Command)
@runs_argument
@confirm_option
@running_server_options
@output_options
def delete_command(ids: list[str], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """Use - as RUN to read IDs from standard input, one per line.

    Released servers reject the request if the run hasn't ended. The status is 'deleted' if the run is gone, or 'kept'
    if it still exists.
    """
    problems: list[Problem] = []
    with connect_to_runs(server, ids, announce_runs=True) as (target, ids):
        if ids:
            confirm(f"delete {describe_runs(ids)}")
        deletions = list(for_each_run(ids, partial(delete_run_and_get_status, target.client), problems))
    print_processed_runs(output, deletions, _DELETION_VIEW)
    note_undeleted_objects(deletions)
    raise_worst_problem(problems)


def delete_run_and_get_status(client: SyncStepflowClient, run_id: str) -> dict[str, Any]:
    """Request a run's deletion and return the resulting status."""
    client.delete_run(run_id)
    return {"run_id": run_id, "status": fetch_deletion_status(lambda: client.get_run(run_id))}
