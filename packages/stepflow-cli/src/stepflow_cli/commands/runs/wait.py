"""`stepflow runs wait`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import RunTimeoutError
from stepflow_client._rules.ending import is_given_up

from ...errors import Problem
from ...exit_codes import ExitCode
from ...output.view import Output
from ...params.options import output_options, server_options, timeout_option
from ...params.parsing import Command
from ...params.runs import runs_argument
from ...records.results import cancelled_run
from ...records.runs import RUN, run_record
from ...runs.bulk import for_each_run, print_done, raise_worst
from ...runs.find import whole_ids
from ...runs.wait import Wait, wait_for
from ...server.connect import Target, connect
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import RunDetails

_ONE_LOOK = 5.0
"""Timeout in seconds of the request for a run's state if the time for waiting is (nearly) over."""


@click.command("wait", cls=Command)
@runs_argument
@timeout_option
@server_options(default="server")
@output_options
def command(ids: list[str], wait: Wait, server: ServerOptions, output: Output) -> None:
    """RUN may be - for ids on standard input, one per line.

    The exit code is 0 if all completed. Otherwise it is 5 if one did not end in time, else 1 if one failed, else 6: one
    was cancelled. Ctrl-C and --timeout only end the wait.
    """
    problems: list[Problem] = []
    with connect(server) as target:
        # Check first that the server can be reached: otherwise there is nothing to return to.
        target.client.server_info()
        ids = whole_ids(target.client, ids)
        print_done(output, _ended(target, ids, wait, problems), RUN)
    raise_worst(problems)


def _ended(target: Target, ids: list[str], wait: Wait, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    """Yield the runs that end in time, in the given order. Failures and late runs are added to `problems`."""
    late: list[str] = []
    deadline = None if wait.timeout is None else time.monotonic() + wait.timeout

    def until_end(run_id: str) -> dict[str, Any] | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        again = _again(target, late + ids[ids.index(run_id) :])

        def run_at_end() -> RunDetails:
            if left != 0:
                try:
                    return target.client.wait_run(run_id, timeout=left)
                except RunTimeoutError:
                    if run_id == ids[0]:
                        raise
            # Its turn came when the time for all was (nearly) over.
            run = target.client.get_run(run_id, timeout=_ONE_LOOK)
            if is_given_up(run.status, run.items.running):
                return target.client.wait_run(run_id, timeout=_ONE_LOOK)
            if run.is_finished:
                return run
            raise RunTimeoutError(f"run {run_id} has not ended yet", run_id=run_id)

        try:
            return run_record(wait_for(target, run_id, wait, run_at_end, _text(run_id, ids), again))
        except Problem as problem:
            if problem.exit_code != ExitCode.TIMED_OUT:
                raise
            late.append(run_id)
            return None

    for record in for_each_run(ids, until_end, problems):
        if record is not None:
            problems += _failure(target, record)
            yield record
    if late:
        problems.append(_late(target, late, ids))


def _text(run_id: str, ids: list[str]) -> str:
    return f"waiting for run {run_id}" + (f" ({ids.index(run_id) + 1} of {len(ids)})" if len(ids) > 1 else "")


def _again(target: Target, ids: list[str]) -> str:
    return target.return_command("runs wait", " ".join(ids))


def _failure(target: Target, record: dict[str, Any]) -> list[Problem]:
    run_id, status = record["run_id"], record["status"]
    if status == "completed":
        return []
    if status == "cancelled":
        return [cancelled_run(run_id)]
    words = "failed" if status == "failed" else f"is {status}"
    hint = f"'{target.return_command('runs result', run_id)}' tells why"
    return [Problem(f"run {run_id} {words}", kind="run_failed", run_id=run_id, hint=hint)]


def _late(target: Target, late: list[str], ids: list[str]) -> Problem:
    one = len(ids) == 1
    return Problem(
        f"run {late[0]} has not ended yet" if one else f"{len(late)} of {len(ids)} runs have not ended yet",
        kind="run_timeout",
        exit_code=ExitCode.TIMED_OUT,
        run_id=late[0] if len(late) == 1 else None,
        hint=_again(target, late) if target.runtime is None else None,
    )
