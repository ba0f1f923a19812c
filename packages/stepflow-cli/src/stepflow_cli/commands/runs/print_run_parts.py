"""Commands that print all or part of a run: get, flow, items, steps, result and eval."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

import click
from stepflow_client import NotFoundError, StepflowClientError

from ...errors import Problem, convert_to_problem, suggest, usage
from ...output.messages import note, show_spinner
from ...output.printing import Output
from ...output.record_views import Column, View, columns, format_json_cell
from ...params.click_commands import Command
from ...params.options import (
    WaitOptions,
    excludes,
    file_output_options,
    lazy_complete,
    option,
    output_options,
    record_options,
    running_server_options,
    timeout_option,
)
from ...params.runs import run_argument, status_option
from ...records.print_results import convert_results_to_outcomes, print_batch_results, print_run_result
from ...records.runs import ENTRY_IN_FULL, ITEM, STEP, TIMED_STEP, build_history_record, get_single_run_view
from ...runs.explain_failures import add_states_if_steps_failed, read_explained_run
from ...runs.find_runs import StoppedServerError, connect_to_run
from ...runs.process_several_runs import hinting_return
from ...settings.server_choice import ServerOptions

Each = TypeVar("Each")
_MAX_RERUNS = 20


@click.command("get", cls=Command)
@run_argument
@running_server_options
@record_options
def get_command(run_id: str, server: ServerOptions, output: Output) -> None:
    """ITEMS shows how many items have ended, out of the total. Servers update it only when the run ends. Until then,
    the command counts ended items from the run's events, if the server provides them. To print a run's output or all
    errors, use 'runs result', 'items' or 'steps'.

    For a failed run, the command shows the step that caused the failure and the steps that didn't run because of it
    (for a batch, in the first failed item). If items in a completed run's sub-runs failed, their number is shown (0.12
    or newer).

    From the history, the command also shows a rerun's original run and item numbers, and up to 20 reruns of any run. If
    @last ran on an embedded server that has stopped, its record in the history is shown.
    """
    links: dict[str, Any] = {}
    try:
        with connect_to_run(server, run_id) as (target, run_id):
            run = read_explained_run(target.client, run_id)
            entry = target.history.get(run_id)
            if entry is not None and entry.rerun_of is not None:
                links |= {"rerun_of": entry.rerun_of, "rerun_items": list(entry.rerun_items)}
            with suppress(StepflowClientError):
                if reruns := [rerun.run_id for rerun in target.history.search(rerun_of=run_id, limit=_MAX_RERUNS)]:
                    links["reruns"] = reruns
    except StoppedServerError as ended:
        note(f"{ended.message}; showing what the history has")
        output.print_record(build_history_record(ended.entry, full=True), ENTRY_IN_FULL)
        return
    output.print_record(run.to_dict() | links, get_single_run_view(run.account, links))


@click.command("flow", cls=Command)
@run_argument
@running_server_options
@file_output_options
def flow_command(run_id: str, server: ServerOptions, output: Output) -> None:
    """The flow is printed as the server stores it, without comments. Secret values are shown as ***. To print them, use
    'stepflow flows get'.
    """
    from ...records.flows import print_flow

    with connect_to_run(server, run_id) as (target, run_id):
        stored = target.client.get_run_flow(run_id).without_secrets()
    print_flow(stored.flow, output, stored.flow_id)


@click.command("items", cls=Command, conflicts=[excludes("--failed", "--status")])
@run_argument
@status_option("items")
@option("--failed", "List only failed items.")
@running_server_options
@output_options
def items_command(run_id: str, status: tuple[str, ...], failed: bool, server: ServerOptions, output: Output) -> None:
    """Servers update item states only when the run ends. Until then, all items may be shown as running."""
    from stepflow_client.types.statuses import FAILED_STATUSES

    statuses = FAILED_STATUSES if failed else status
    with connect_to_run(server, run_id) as (target, run_id):
        listed = target.client.get_run_items(run_id)
    # Use an iterator so that items are parsed only as they're printed (with `| head`, that's just a few of them).
    items = (item.to_dict() for item in iter(listed.items) if not statuses or item.status.value in statuses)
    output.print_records(items, ITEM)


@click.command("steps", cls=Command, conflicts=[excludes("--include-times", "--step", "it adds columns to the list")])
@run_argument
@option("--item N", "List only steps of this item, counted from 0.", type=click.IntRange(min=0))
@option(
    "--step ID",
    "Show only this step, in the first item or the item that --item selects.",
    shell_complete=lazy_complete("steps_of_run"),
)
@option("--include-times", "Add start times, durations and attempts from the run's events.")
@running_server_options
@output_options
def steps_command(
    run_id: str, item: int | None, step: str | None, include_times: bool, server: ServerOptions, output: Output
) -> None:
    """A step that depends on a failed step doesn't run. Servers list it as failed, with the error from the step it
    depends on. The table shows it as 'not run' and names the failed step. In JSON, 'status' is 'failed' and 'state' is
    'not_run'.

    Step outputs, errors and times, and the steps of an unfinished run, require server 0.12 or newer.
    """
    with connect_to_run(server, run_id) as (target, run_id):
        if step is not None:
            try:
                step_details = target.client.get_run_step(run_id, step, item_index=item or 0)
            except NotFoundError as error:
                ids = {listed.step_id for listed in target.client.get_run_steps(run_id, item_index=item or 0).steps}
                if not ids and item:
                    _get_item_or_raise(list(target.client.get_run_items(run_id).items), item, run_id)
                hint = suggest(step, ids) or f"it has {', '.join(sorted(ids))}"
                raise convert_to_problem(error, hint=hint if ids else None) from None
            explained = add_states_if_steps_failed(target.client, run_id, [step_details], item or 0)[0]
            output.print_record(explained.to_dict(), STEP)
            return
        # Only fetch more about the run if there are errors to explain.
        steps = None if include_times else target.client.snapshot(run_id, include="steps", item_index=item).steps
        if steps is None:
            steps = target.client.get_run_steps(run_id, item_index=item, include_times=include_times).steps
        if not steps and item:
            _get_item_or_raise(list(target.client.get_run_items(run_id).items), item, run_id)
        steps = add_states_if_steps_failed(target.client, run_id, steps, item)
    output.print_records((step.to_dict() for step in steps), TIMED_STEP if include_times else STEP)


@click.command("result", cls=Command, conflicts=[excludes("--no-wait", "--timeout")])
@run_argument
@option("--item N", "Print only the result of this item, counted from 0.", type=click.IntRange(min=0))
@option("--no-wait", "Do not wait for the run; exit with code 5 if it has not ended.")
@timeout_option
@running_server_options
@file_output_options
def result_command(
    run_id: str, item: int | None, no_wait: bool, wait: WaitOptions, server: ServerOptions, output: Output
) -> None:
    """For a run with one item, the command prints only the output, as 'run' does. Use -o to print the whole result,
    even if the run failed. For a batch, it prints one line of JSON per item, in input order.
    """
    try:
        with connect_to_run(server, run_id) as (target, run_id):
            # First make sure that the server is reachable. Otherwise, there would be nothing to return to later.
            target.client.server_info()
            again = target.build_command_for_run("runs result", run_id)
            with hinting_return(target, run_id, wait, again), show_spinner(f"waiting for run {run_id}"):
                # There's no way to tell a batch with one item from a single run, so print it in the same way.
                results = target.client.get_results(run_id, wait=not no_wait, timeout=wait.timeout)
    except StoppedServerError as ended:
        note(f"{ended.message}; showing what the history has")
        run_id, results = ended.entry.run_id, ended.compute_results_from_history()
    if item is not None:
        print_run_result(_get_item_or_raise(results, item, run_id), output)
    elif len(results) == 1:
        print_run_result(results[0], output)
    else:
        print_batch_results([run_id], convert_results_to_outcomes(results), output)


def _get_item_or_raise(results: list[Each], item: int, run_id: str) -> Each:
    if item < len(results):
        return results[item]
    hint = f"it has {len(results)} item{'s' * (len(results) != 1)}, counted from 0"
    raise Problem(f"run {run_id} has no item {item}", kind="not_found", run_id=run_id, hint=hint)


# The error code for reading the output of a step that wasn't executed.
_STEP_NOT_RUN_CODE = 9

_VALUE_VIEW = View(columns("run_id:id", "index:number", Column("value", show=format_json_cell)))


@click.command("eval", cls=Command)
@run_argument
@click.argument("expression", metavar="EXPRESSION")
@option(
    "--item N",
    "Use the steps and input of this item, counted from 0. [default: 0]",
    type=click.IntRange(min=0),
    default=0,
)
@running_server_options
@file_output_options
def eval_command(run_id: str, expression: str, item: int, server: ServerOptions, output: Output) -> None:
    """EXPRESSION is a flow expression in YAML or JSON, such as '{$step: a, path: $.x}'. It can use the run's step
    outputs, and its input and variables if the server or the history recorded them. Nothing is executed. This requires
    server 0.12 or newer.

    The value is printed as JSON. Use -o to print a record that contains it.
    """
    from stepflow_client._base.text_formatting import describe_missing_run_item
    from stepflow_client._rules.operations_and_releases import require_capability
    from stepflow_client._runs.explanation import iter_item_records
    from stepflow_client.flows.expressions import find_references
    from stepflow_client.flows.interpreter import EXPRESSION_ERRORS, Failure, NotKnownError
    from stepflow_client.flows.reading import parse_yaml

    parsed = parse_yaml(expression, "the expression")
    if isinstance(parsed, str) and parsed.startswith("$"):
        hint = f"use '{{$input: {parsed}}}' or '{{$step: ID, path: ...}}'"
        raise usage(f"{parsed} is text, not an expression", hint)
    with connect_to_run(server, run_id) as (target, run_id):
        require_capability(target.client.server_info(), "step_outputs", "the outputs of steps")
        run = target.client.snapshot(run_id, include=("items", "steps", "flow", "arguments"), item_index=item)
        items = run.items or ()
        if item >= len(items):
            raise usage(describe_missing_run_item(run_id, item, len(items)))
        ((_, record),) = iter_item_records(run, [items[item]], is_masked=True)
        for reference in find_references(parsed):
            if reference.step is not None and reference.step not in record.definitions:
                steps = ", ".join(record.definitions) or "none"
                hint = suggest(reference.step, record.definitions) or f"its steps are {steps}"
                raise usage(f"the run's flow has no step {reference.step}", hint)
        try:
            value = record.evaluation.evaluate(parsed)
        except Failure as failure:
            message = failure.message
            if failure.step is not None and (step := record.listed.get(failure.step)) is not None and step.error:
                message = f"{message}: {step.error.message}"
            if failure.code == _STEP_NOT_RUN_CODE:
                message = f"{message}: the run did not need it"
            raise Problem(f"the expression fails: {message}", kind="expression") from None
        except NotKnownError as error:
            if str(error).startswith("step "):
                raise Problem(f"the value depends on {error}, which has not ended", kind="expression") from None
            hint = "the history only has runs started by 'stepflow run' or clients with history=True"
            raise Problem(f"the value depends on {error}, which is unknown", kind="expression", hint=hint) from None
        except EXPRESSION_ERRORS as error:
            raise usage(f"cannot evaluate the expression: {' '.join(str(error).split())}") from None
    if output.format:
        output.print_record({"run_id": run_id, "index": item, "value": value}, _VALUE_VIEW, default="json")
    else:
        output.print_value(value)
