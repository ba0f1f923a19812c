"""`stepflow runs save` and `report`: save a run as a test case or a page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import click
from stepflow_client import InvalidArgumentError
from stepflow_client.flows.reading import load_flow

from ...errors import current_session, suggest, usage
from ...inputs.command_line_values import ValueArgument, read_value_argument
from ...inputs.file_io import read_bytes, write_bytes
from ...inputs.flow_loading import check_flow_exists
from ...output.colors_and_escaping import format_diff_line, uses_color
from ...output.messages import note
from ...output.printing import Output, open_file_in_browser, write_document_bytes
from ...params.click_commands import Command
from ...params.options import OUTPUT, Section, lazy_complete, needs, output_file_option, running_server_options
from ...params.runs import run_argument, runs_argument
from ...runs.find_runs import check_flow_matches_run, connect_to_run, connect_to_runs
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.types.runs import SnapshotPart

    from ...flow_tests.save_run_as_case import ItemToSave

_CASE = Section("Case")


@click.command("save", cls=Command)
@run_argument
@click.argument("flow", required=False, metavar="[FLOW]", shell_complete=lazy_complete("flow_files"))
@_CASE.option("--as NAME", "Name the case. [default: 'works as in RUN' or 'fails as in RUN']", to="name")
@_CASE.option("--item N", "Save this item of a batch, counted from 0.", to="index", type=click.IntRange(min=0))
@_CASE.option(
    "--input-json JSON", "Use this input for the item, for example after an evaluation, which does not record inputs."
)
@_CASE.option(
    "--mock STEP",
    "Save this step's outcome as a mock, so that the test does not execute it. Repeatable. Use '*' to mock all steps "
    "except those used only by mocked steps.",
    to="mocked",
    multiple=True,
    shell_complete=lazy_complete("steps_of_run"),
)
@_CASE.option("--replace", "Replace an existing case of the same name.", to="replaces", is_risky=True)
@OUTPUT.option("--dry-run", "Show the change without writing it.")
@running_server_options
def save_command(
    run_id: str,
    flow: str | None,
    name: str | None,
    index: int | None,
    input_json: str | None,
    mocked: tuple[str, ...],
    replaces: bool,
    dry_run: bool,
    server: ServerOptions,
) -> None:
    """FLOW is the flow's file. The default comes from the history. The case contains the run's input and variables, and
    expects its output or error. UUIDs and times that are likely to vary become matchers. The command prints the change,
    and preserves comments and layout.

    Input, variables and overrides come from the server if it reports them, or else from the history. Secret variables
    are left out. Elsewhere, their values are shown as *** only if known from the flow or environment.
    """
    if name is not None and not name.strip():
        raise usage("--as needs a name")
    if flow is not None:
        check_flow_exists(flow)
    from ...flow_tests.save_run_as_case import add_case_to_content, build_item_to_save, diff_contents, rate_flow_match

    with connect_to_run(server, run_id, announce_runs=True) as (target, run_id):
        parts: list[SnapshotPart] = ["items", "flow", "arguments"]
        if mocked and target.client.server_info().capabilities["step_outputs"]:
            parts.append("steps")
        snapshot = target.client.snapshot(run_id, include=parts, item_index=index)
        total = len(snapshot.items or ())
        if index is None and total > 1:
            raise usage(f"run {run_id} has {total} items", "choose one with --item N, counted from 0")
        if input_json is not None and snapshot.arguments is not None:
            input = read_value_argument(ValueArgument("--input-json", "json", input_json))
            snapshot = replace(snapshot, arguments=replace(snapshot.arguments, inputs=[input] * total))
        kept = build_item_to_save(snapshot, index or 0)
        path = flow
        if path is None:
            entry = target.history.get(run_id)
            if entry is None or entry.flow_file is None:
                raise usage("pass the flow's file as FLOW", "the history does not name the one of this run")
            path = entry.flow_file
            check_flow_exists(path)
    case = kept.to_test_case(name or kept.default_case_name, _select_steps_to_mock(kept, mocked))
    before = read_bytes(path)
    try:
        after = add_case_to_content(before, case, path, replace=replaces)
    except InvalidArgumentError as error:
        raise usage(error.message, "choose another name with --as, or replace this case with --replace") from None
    written = load_flow(path)
    check_flow_matches_run(target, run_id, kept.flow, written, path)
    color = current_session().color
    for line in diff_contents(before, after):
        click.echo(format_diff_line(line, sys.stdout, color), color=uses_color(sys.stdout, color))
    if kept.flow and rate_flow_match(written, kept.flow) < 4:
        note(f"warning: {path} differs from the run's flow, so the case may fail")
    for warning in kept.warnings:
        note(f"warning: {warning}")
    if dry_run:
        return
    write_bytes(path, after, expected_content=before)
    note(f"saved as test case {case['name']!r}; to run it: stepflow test {shlex.quote(path)}")


def _select_steps_to_mock(kept: ItemToSave, mocked: Sequence[str]) -> list[str]:
    """Return the steps to mock.

    Leave out steps that are only read by other mocked steps, because a test doesn't need them.

    Raises:
        Problem: If the outcome of a step is unknown.
    """
    from stepflow_client.flows.graph import FlowSteps, get_steps_by_id

    ids = [*get_steps_by_id(kept.flow)]
    known = [name for name in ids if name in kept.outcomes]
    for step_id in mocked:
        if step_id != "*" and step_id not in ids:
            raise usage(f"the run's flow has no step {step_id}", suggest(step_id, ids))
        if step_id not in known and (step_id != "*" or not known):
            what = "steps" if step_id == "*" else f"step {step_id}"
            hint = "it did not run, or this server does not return step outputs"
            raise usage(f"the run has no outcome for {what} to mock", hint)
    chosen = [name for name in known if name in mocked or "*" in mocked]
    needed = FlowSteps(kept.flow).find_steps_to_run(unread=chosen)
    left_out = [name for name in chosen if name not in needed]
    if left_out:
        note(f"not mocked: {', '.join(left_out)} (read only by mocked steps)")
    return [name for name in chosen if name in needed]


@click.command("report", cls=Command, conflicts=[needs("--open", "--output")])
@runs_argument
@running_server_options
@output_file_option("Write the page to this file, or - for standard output.")
@OUTPUT.option("--open", "Open the file in the browser; requires --output.", to="show")
def report_command(ids: list[str], server: ServerOptions, output: str | None, show: bool) -> None:
    """The page shows the flow's graph, colored by status, and the steps. On 0.12 and newer, it adds a timeline and step
    outputs. For a batch, it groups errors and shows item latencies. Pass two runs to compare them. An unfinished run is
    shown in its current state.

    Input, variables and overrides come from the server if it reports them, or else from the history. Secret values are
    shown as *** if known from the flow's defaults or the environment variables that it names.

    The graph requires the stepflow-client[draw] extra.
    """
    Output(path=output).check_file_writable()
    ending = PurePath(output or "").suffix.lower()
    if ending not in ("", ".html", ".htm"):
        raise usage(f"{output}: a report is an HTML page, not {ending}", "use a file name that ends in .html")
    from stepflow_client.drawing import gather, report_page

    with connect_to_runs(server, ids) as (target, ids):
        reports = [gather(target.client, run_id) for run_id in ids]
    write_document_bytes(report_page(reports).encode(), output)
    if show:
        open_file_in_browser(str(output))
