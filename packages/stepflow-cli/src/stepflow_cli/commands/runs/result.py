"""`stepflow runs result`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...errors import Problem, usage
from ...exit_codes import ExitCode
from ...output.view import Output
from ...params.options import file_output_options, server_options, timeout_option
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.results import print_result, print_results
from ...runs.ids import whole_id
from ...runs.wait import Wait, wait_for
from ...server.connect import Target, connect
from ...settings.resolve import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import FlowResult

__all__ = ["command"]


@click.command("result", cls=Command)
@run_argument
@click.option("--item", type=click.IntRange(min=0), metavar="N", help="Only the result of this item, counted from 0.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the run: exit code 5 if it has not ended.")
@timeout_option
@server_options(default="server")
@file_output_options
def command(
    run_id: str,
    item: int | None,
    no_wait: bool,
    wait: Wait,
    server: ServerOptions,
    output: Output,
) -> None:
    """For a run of one item it prints what 'run' prints: only the output; with -o the whole result, even for failed
    runs. For a batch it prints what 'run --inputs' prints: a line of JSON for each item, in the order of the inputs.
    """
    if no_wait and wait.timeout is not None:
        raise usage("--no-wait and --timeout exclude each other")
    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        results = _results(target, run_id, wait, no_wait)
    if item is not None:
        print_result(_of_item(results, item, run_id), output)
    elif len(results) == 1:
        print_result(results[0], output)
    else:
        print_results(run_id, results, output)


def _results(target: Target, run_id: str, wait: Wait, no_wait: bool) -> list[FlowResult]:
    def ask() -> list[FlowResult]:
        # A batch of one item is printed like a single run, because they cannot be told apart.
        return target.client.get_results(run_id, wait=not no_wait, timeout=wait.timeout)

    # Check first that the server can be reached: otherwise there is nothing to return to.
    target.client.server_info()
    return wait_for(target, run_id, wait, ask, again=target.come_back("runs result", run_id))


def _of_item(results: list[FlowResult], item: int, run_id: str) -> FlowResult:
    if item < len(results):
        return results[item]
    has = f"it has {len(results)} item{'s' * (len(results) != 1)}, counted from 0"
    message = f"run {run_id} has no item {item}"
    raise Problem(message, kind="not_found", exit_code=ExitCode.FAILED, run_id=run_id, hint=has)
