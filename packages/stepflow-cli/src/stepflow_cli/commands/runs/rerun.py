"""`stepflow runs rerun`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ...completion.candidates import complete_flow_files
from ...inputs.batch import all_inputs
from ...inputs.flow import load_flow_or_id
from ...inputs.values import Values
from ...output.messages import waiting
from ...output.view import Output
from ...params.batch import inputs_option
from ...params.flow import history_options, value_options
from ...params.options import file_output_options, option_in, server_options, timeout_option
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.results import print_result, print_results
from ...runs.find import whole_id
from ...runs.reuse import print_plan, say_plan
from ...runs.wait import Wait, hinting_return
from ...server.connect import Target, connect
from ...settings.history import require_history
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import RerunResult


@dataclass(frozen=True)
class _Asked:
    """What to run again, with the arguments in the client's form."""

    run_id: str
    chosen: dict[str, Any]
    variables_from_env: bool


_MAIN = (
    "--from",
    "--failed",
    "--only-missing",
    "--flow",
    "--dry-run",
    "--input-json",
    "--var",
    "--set",
    "--timeout",
    "--url",
    "--format",
)


@click.command("rerun", cls=Command, main_options=_MAIN)
@run_argument
@option_in("--from", "from_step", section="Rerun", metavar="STEP", help="Execute this step and all that depend on it.")
@option_in("--failed", is_flag=True, section="Rerun", help="Only the items that did not succeed.")
@option_in(
    "--item",
    "items",
    type=click.IntRange(min=0),
    multiple=True,
    section="Rerun",
    metavar="N",
    help="Only this item, counted from 0; repeatable.",
)
@option_in("--only-missing", is_flag=True, section="Rerun", help="Only steps that did not complete, or are new.")
@option_in(
    "--only-changed",
    is_flag=True,
    section="Rerun",
    help="Only steps that are new, or whose definition, input or variables have changed.",
)
@option_in("--step", "only_step", section="Rerun", metavar="STEP", help="Execute this step alone.")
@option_in(
    "--flow", section="Rerun", metavar="FILE", shell_complete=complete_flow_files, help="A changed flow, or its id."
)
@option_in("--force", is_flag=True, section="Rerun", is_risky=True, help="Keep steps even if they have changed.")
@option_in("--dry-run", is_flag=True, section="Rerun", help="Run nothing: print what would be kept and executed.")
@inputs_option
@value_options
@history_options
@timeout_option
@server_options(default="server")
@file_output_options
def command(
    run_id: str,
    from_step: str | None,
    failed: bool,
    items: tuple[int, ...],
    only_missing: bool,
    only_changed: bool,
    only_step: str | None,
    flow: str | None,
    force: bool,
    dry_run: bool,
    inputs: str | None,
    values: Values,
    about: dict[str, Any],
    wait: Wait,
    server: ServerOptions,
    output: Output,
) -> None:
    """Kept steps are not executed: they return their earlier output. Without --from, --failed or --only-missing
    everything is executed. --failed alone keeps the completed steps of the failed items.

    Input, variables and overrides come from the history, if the run was started on this machine. An input that you give
    replaces the recorded one; variables and overrides that you give take precedence. Secret variables are not recorded:
    give them again.

    Outputs of steps can be kept on 0.12 and newer, and on 0.9 for runs of one item. Elsewhere --failed runs the failed
    items as a whole.

    It prints what 'run' prints; for a batch, a line for each item of the earlier run, including kept ones.
    """
    values.check(flow=flow or "", inputs=inputs)
    about = {name: value for name, value in about.items() if value}
    if about:
        require_history()
    changed = None if flow is None else load_flow_or_id(flow)
    chosen: dict[str, Any] = {"from_step": from_step, "failed": failed, "only_missing": only_missing, "flow": changed}
    chosen |= {"force": force, "items": items or None, "only_changed": only_changed, "only_step": only_step}
    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        asked = _asked(target, run_id, chosen, values, inputs)
        plan = target.client.plan_rerun(run_id, **asked.chosen)
        if dry_run:
            print_plan(plan, output)
            return
        say_plan(plan)
        with target.history.recording(**about):
            again = _rerun(target, asked, wait)
        _print(again, output)


def _asked(target: Target, run_id: str, chosen: dict[str, Any], values: Values, inputs: str | None) -> _Asked:
    """Read the values, which depend on the flow."""
    flow = chosen["flow"]
    if flow is None:
        flow = target.client.get_run_flow(run_id).flow
    elif isinstance(flow, str):
        flow = target.client.get_flow(flow).flow
    chosen = chosen | {"overrides": values.read_overrides(flow), "variables": values.read_variables(flow)}
    if inputs is not None:
        chosen["input"] = all_inputs(inputs, values.stdin_format, flow)
    elif values.input or values.example is not None or values.stdin_format:
        # A single input that is a list would be taken for a batch.
        chosen["input"] = [values.read_input(flow)]
    return _Asked(run_id, chosen, values.variables_from_env)


def _rerun(target: Target, asked: _Asked, wait: Wait) -> RerunResult:
    again = target.return_command("runs list --limit", "5")
    with hinting_return(target, asked.run_id, wait, again), waiting(f"running {asked.run_id} again"):
        return target.client.rerun(
            asked.run_id, timeout=wait.timeout, variables_from_env=asked.variables_from_env, **asked.chosen
        )


def _print(again: RerunResult, output: Output) -> None:
    if len(again.results) == 1:
        print_result(again.results[0], output)
    else:
        print_results(again.run_ids, list(again.results), output)
