"""`stepflow runs rerun`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...completion.candidates import complete_flow_files
from ...errors import Problem
from ...inputs.batch import all_inputs
from ...inputs.flow import load_flow_or_id
from ...inputs.values import Values
from ...output.messages import waiting
from ...output.view import Output
from ...params.conflicts import excludes
from ...params.flow import history_options, one_input, one_mapping, value_options
from ...params.options import file_output_options, grouped, running_server_options, timeout_option
from ...params.parsing import Command
from ...params.runs import run_argument
from ...params.sections import FILE, Section
from ...records.results import outcomes_of, print_result, print_results
from ...runs.accounts import explained
from ...runs.find import check_flow_of, connect_to_run
from ...runs.job import Job
from ...runs.reuse import attempt_of, print_plan, say_plan
from ...runs.wait import Wait, hinting_return
from ...server.connect import Target
from ...settings.history import require_history
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import FlowResult, Keep, RerunResult
    from stepflow_client.types.snapshot import SnapshotPart

_RERUN = Section("Rerun")


class _Asked(NamedTuple):
    """What to run again."""

    run_id: str
    keep: Keep
    chosen: dict[str, Any]
    """Options of the client's `rerun`, with the flow as it is given."""
    dry_run: bool
    idempotency_key: str | None
    inputs: str | None
    values: Values
    about: dict[str, Any]
    """The labels and the note."""

    def arguments(self, target: Target, flow: dict[str, Any] | str | None) -> dict[str, Any]:
        """Return the arguments of the client's `rerun`, with the values, which depend on the flow."""
        chosen = self.chosen | {"keep": self.keep, "flow": flow, "items": self.chosen["items"] or None}
        named = self.chosen["flow"]
        if flow is None:
            keeps = self.keep.steps != "nothing"
            parts: list[SnapshotPart] = ["items", "flow", "steps"] if keeps else ["items", "flow"]
            flow = dict(target.client.snapshot(self.run_id, include=parts).flow or {})
        elif isinstance(flow, str):
            flow = target.client.get_flow(flow).flow
        if named is not None:
            check_flow_of(target, self.run_id, target.client.get_run_flow(self.run_id).flow, flow, named)
        values = self.values
        chosen |= {"overrides": values.read_overrides(flow), "variables": values.read_variables(flow)}
        if self.inputs is not None:
            chosen["input"] = all_inputs(self.inputs, values.stdin_format if self.inputs == "-" else None, flow)
        elif values.input or values.example is not None or values.stdin_format:
            # A single input that is a list would be taken for a batch.
            chosen["input"] = [values.read_input(flow)]
        return chosen


def _kept(*, before: str | None, all_except: str | None, failed: bool, only_missing: bool, only_changed: bool) -> Keep:
    """Return what the options keep."""
    from stepflow_client import Keep

    if all_except is not None:
        return Keep(all_except=all_except)
    keeps = failed or only_missing or before is not None
    return Keep(
        "unchanged" if only_changed else "completed" if keeps else "nothing", before=before, succeeded_items=failed
    )


_MAIN = "--from --failed --only-missing --flow --dry-run --input-json --var --set --timeout --url --format"


@click.command(
    "rerun",
    cls=Command,
    main_options=_MAIN,
    conflicts=(
        one_input,
        one_mapping,
        excludes("--step", "--from --failed --only-missing --only-changed --force", "--step executes one step alone"),
        excludes("--only-changed --force"),
    ),
)
@grouped(
    "asked",
    _Asked,
    run_argument,
    grouped(
        "keep",
        _kept,
        _RERUN.option("--from STEP", "Execute this step and all that depend on it.", to="before"),
        _RERUN.option("--failed", "Only the items that did not succeed."),
        _RERUN.option("--only-missing", "Only steps that did not complete, or are new."),
        _RERUN.option(
            "--only-changed", "Only steps that are new, or whose definition, input or variables have changed."
        ),
        _RERUN.option("--step STEP", "Execute this step alone.", to="all_except"),
    ),
    grouped(
        "chosen",
        dict,
        _RERUN.option(
            "--item N",
            "Only this item, counted from 0; repeatable.",
            to="items",
            type=click.IntRange(min=0),
            multiple=True,
        ),
        _RERUN.option("--flow FILE", "A changed flow, or its id.", shell_complete=complete_flow_files),
        _RERUN.option("--force", "Keep steps even if they have changed.", is_risky=True),
    ),
    _RERUN.option("--dry-run", "Run nothing: print what would be kept and executed."),
    _RERUN.option(
        "--idempotency-key KEY",
        "Create new runs once for this key of the run; the same command with the key returns them.",
    ),
    _RERUN.option("--inputs FILE", "New inputs of a batch, in a file as 'stepflow batch' takes it.", type=FILE),
    value_options,
    history_options,
)
@timeout_option
@running_server_options
@file_output_options
def command(asked: _Asked, wait: Wait, server: ServerOptions, output: Output) -> None:
    """Kept steps are not executed: they return their earlier output. Without --from, --failed or --only-missing
    everything is executed. --failed alone keeps the completed steps of the failed items.

    Input, variables and overrides come from the history, if the run was started on this machine. An input that you give
    replaces the recorded one; variables and overrides that you give take precedence. Secret variables are not recorded:
    give them again.

    Outputs of steps can be kept on 0.12 and newer. Elsewhere --failed runs the failed items as a whole.

    It prints what 'run' prints; for a batch, a line for each item of the earlier run, including kept ones. With --item,
    it prints that item alone, and the exit code and a new input are those of the item.
    """
    given = asked.chosen["flow"]
    asked.values.check(flow=given or "", inputs=asked.inputs)
    about = {name: value for name, value in asked.about.items() if value}
    if about:
        require_history()
    changed = None if given is None else load_flow_or_id(given)
    with connect_to_run(server, asked.run_id, says=True) as (target, run_id):
        asked = asked._replace(run_id=run_id)
        arguments = asked.arguments(target, changed)
        plan = target.client.plan_rerun(asked.run_id, **arguments)
        if asked.dry_run:
            print_plan(plan, output)
            return
        say_plan(plan, attempt_of(target, run_id))
        with target.history.recording(**about):
            again = _rerun(target, asked, arguments, wait)
        _print(target, again, arguments["items"], output)


def _rerun(target: Target, asked: _Asked, arguments: dict[str, Any], wait: Wait) -> RerunResult:
    again = target.return_command("runs list --limit", "5")
    with hinting_return(target, asked.run_id, wait, again), waiting(f"running {asked.run_id} again"):
        from_env, key = asked.values.variables_from_env, asked.idempotency_key
        arguments |= {"variables_from_env": from_env, "idempotency_key": key, "timeout": wait.timeout}
        return target.client.rerun(asked.run_id, **arguments)


def _print(target: Target, again: RerunResult, chosen: Sequence[int] | None, output: Output) -> None:
    """Print the results of all items, or of the chosen ones, with their numbers in the earlier run."""
    outcomes = outcomes_of(again.results)
    if chosen is not None:
        outcomes = [each for each in outcomes if each.index in chosen]
    if len(outcomes) != 1:
        print_results(again.run_ids, outcomes, output)
        return
    result = outcomes[0].result
    try:
        print_result(result, output)
    except Problem as problem:
        if problem.kind == "run_failed":
            problem.hint = problem.hint or _hint(target, result)
        raise


def _hint(target: Target, result: FlowResult) -> str | None:
    """Return why a run failed, if its input is known."""
    snapshot = target.client.snapshot(result.run_id, include=["items", "flow", "arguments"])
    given = snapshot.arguments
    if snapshot.flow is None or given is None or not given.inputs:
        return None
    job = Job(flow=dict(snapshot.flow), input=given.inputs[0], variables=dict(given.variables or {}))
    return explained(target, job, result)
