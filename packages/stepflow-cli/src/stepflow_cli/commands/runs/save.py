"""`stepflow runs save`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import InvalidArgumentError
from stepflow_client.flows.flow_argument import load_flow

from ...completion.candidates import complete_flow_files, complete_steps_of_run
from ...context import current_session
from ...errors import nearest, usage
from ...inputs.files import read_bytes, write_bytes
from ...inputs.flow import find_missing
from ...inputs.values import Given, read_value
from ...output.color import difference_line, has_color
from ...output.messages import note
from ...params.options import running_server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...params.sections import OUTPUT, Section
from ...runs.find import check_flow_of, connect_to_run
from ...server.connect import Target
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.types.snapshot import SnapshotPart

    from ...flow_tests.kept import KeptItem

_CASE = Section("Case")


@click.command("save", cls=Command)
@run_argument
@click.argument("flow", required=False, metavar="[FLOW]", shell_complete=complete_flow_files)
@_CASE.option("--as NAME", "The name of the case. [default: 'works as in' or 'fails as in', and the run]", to="name")
@_CASE.option("--item N", "The item of a batch, counted from 0.", to="index", type=click.IntRange(min=0))
@_CASE.option(
    "--input-json JSON",
    "The input of the item, if neither the history nor the server has it: of an evaluation, for example.",
)
@_CASE.option(
    "--mock STEP",
    "Keep the outcome of this step as a mock, so that the test does not execute it; repeatable, '*' is all steps "
    "but those that only mocked steps read.",
    to="mocked",
    multiple=True,
    shell_complete=complete_steps_of_run,
)
@_CASE.option("--replace", "Change the case of this name if there is one.", is_risky=True)
@OUTPUT.option("--dry-run", "Write nothing: only show the change.")
@running_server_options
def command(
    run_id: str,
    flow: str | None,
    name: str | None,
    index: int | None,
    input_json: str | None,
    mocked: tuple[str, ...],
    replace: bool,
    dry_run: bool,
    server: ServerOptions,
) -> None:
    """FLOW is the flow's file; by default, the one that the history names. The case has the input and the variables of
    the run, and its output, or its error, as expected. UUIDs and times of the run become matchers, because they differ
    in each run.
    The change of the file is printed; comments and layout stay.

    Input, variables and overrides come from the history, where the run was started on this machine, or from the server
    if it reports them. Secret variables are left out; their known
    values are ***.
    """
    if name is not None and not name.strip():
        raise usage("--as needs a name")
    if flow is not None:
        find_missing(flow)
    given = None if input_json is None else (read_value(Given("--input-json", "json", input_json)),)
    with connect_to_run(server, run_id, says=True) as (target, run_id):
        kept = _kept(target, run_id, index, given, with_steps=bool(mocked))
        path = flow or _recorded_file(target, kept)
    case = kept.case(name or kept.name, _steps(kept, mocked))
    before = read_bytes(path)
    after, written = _added(before, case, path, replace=replace), load_flow(path)
    check_flow_of(target, run_id, kept.flow, written, path)
    _show(before, after)
    _warn(path, written, kept)
    if dry_run:
        return
    write_bytes(path, after, unchanged_from=before)
    note(f"kept as {case['name']!r}; stepflow test {shlex.quote(path)} runs it")


def _kept(target: Target, run_id: str, index: int | None, input: tuple[Any] | None, *, with_steps: bool) -> KeptItem:
    from ...flow_tests.kept import kept_item

    has_steps = with_steps and target.client.server_info().capabilities["step_outputs"]
    parts: list[SnapshotPart] = ["items", "flow", "arguments"]
    if has_steps:
        parts.append("steps")
    snapshot = target.client.snapshot(run_id, include=parts, item_index=index)
    total = len(snapshot.items or ())
    if index is None and total > 1:
        raise usage(f"run {run_id} has {total} items", "--item N names one, counted from 0")
    if input is not None and snapshot.arguments is not None:
        given = replace(snapshot.arguments, inputs=[*input] * total)
        snapshot = replace(snapshot, arguments=given)
    return kept_item(snapshot, index or 0)


def _recorded_file(target: Target, kept: KeptItem) -> str:
    entry = target.history.get(kept.run.run_id)
    if entry is None or entry.flow_file is None:
        raise usage("give the file of the flow, as FLOW", "the history does not name the one of this run")
    find_missing(entry.flow_file)
    return entry.flow_file


def _steps(kept: KeptItem, mocked: Sequence[str]) -> list[str]:
    """Return the steps to mock, without those that only other mocked steps read: a test does not need them.

    Raises:
        Problem: If the outcome of one is not known.
    """
    from stepflow_client.flows.graph import FlowSteps, steps_by_id

    ids = [*steps_by_id(kept.flow)]
    known = [each for each in ids if each in kept.outcomes]
    for step_id in mocked:
        if step_id != "*" and step_id not in ids:
            raise usage(f"the flow of the run has no step {step_id}", nearest(step_id, ids))
        if step_id not in known and (step_id != "*" or not known):
            what = "steps" if step_id == "*" else f"step {step_id}"
            hint = "it did not run, or this server does not return the outputs of steps"
            raise usage(f"the run has no outcome of {what} to mock", hint)
    chosen = [each for each in known if each in mocked or "*" in mocked]
    needed = FlowSteps(kept.flow).needed(unread=chosen)
    left_out = [each for each in chosen if each not in needed]
    if left_out:
        note(f"no mock of {', '.join(left_out)}: only mocked steps read it")
    return [each for each in chosen if each in needed]


def _added(before: bytes, case: dict[str, Any], path: str, *, replace: bool) -> bytes:
    from stepflow_cli.flow_tests.added_case import add_case

    try:
        return add_case(before, case, path, replace=replace)
    except InvalidArgumentError as error:
        raise usage(error.message, "choose another name with --as, or change that case with --replace") from None


def _show(before: bytes, after: bytes) -> None:
    from ...flow_tests.kept import changed_lines

    color = current_session().color
    for line in changed_lines(before, after):
        click.echo(difference_line(line, sys.stdout, color), color=has_color(sys.stdout, color))


def _warn(path: str, written: Mapping[str, Any], kept: KeptItem) -> None:
    """Print why the case may not pass as it is."""
    from ...flow_tests.kept import match_score

    if kept.flow and match_score(written, kept.flow) < 4:
        note(f"warning: {path} differs from the flow of the run, so the case may fail")
    for warning in kept.warnings:
        note(f"warning: {warning}")
