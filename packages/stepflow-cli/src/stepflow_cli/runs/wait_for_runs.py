"""Waiting for several runs, for `runs watch -q`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stepflow_client import RunTimeoutError
from stepflow_client._command import is_given_up

from ..errors import ExitCode, Problem
from ..output.view import Output
from ..records.runs import RUN
from ..server.connect import Target
from .bulk import for_each_run, print_done, raise_worst
from .wait import Wait, hinting_return
from .watch import find_failure

if TYPE_CHECKING:
    from stepflow_client import RunDetails

# Timeout of the request for a run's state if the time for waiting is (nearly) over.
_LAST_REQUEST_SECONDS = 5.0


def wait_and_print(target: Target, ids: list[str], wait: Wait, output: Output) -> None:
    """Wait for runs and print those that end in time, in the given order.

    Raises:
        Problem: If a run did not complete; the worst, after the others have been shown.
    """
    problems: list[Problem] = []
    late: list[str] = []
    deadline = None if wait.timeout is None else time.monotonic() + wait.timeout

    def watch_command(run_ids: list[str]) -> str:
        return target.return_command("runs watch -q", " ".join(run_ids))

    def wait_for(run_id: str) -> RunDetails | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        with hinting_return(target, run_id, wait, watch_command(late + ids[ids.index(run_id) :])):
            run = None
            if left != 0:
                with suppress(RunTimeoutError):
                    run = target.client.wait_run(run_id, timeout=left)
            if run is None:
                # The time may have been (nearly) over before its turn came.
                latest = target.client.get_run(run_id, timeout=_LAST_REQUEST_SECONDS)
                if is_given_up(latest.status, latest.items.running):
                    latest = target.client.wait_run(run_id, timeout=_LAST_REQUEST_SECONDS)
                run = latest if latest.is_finished else None
            if run is None:
                late.append(run_id)
            elif problem := find_failure(target, run):
                problems.append(problem)
            return run

    # Check first that the server can be reached: otherwise there is nothing to return to.
    target.client.server_info()
    runs = for_each_run(ids, wait_for, problems)
    print_done(output, (run.to_dict() for run in runs if run is not None), RUN)
    if late:
        message = f"{len(late)} of {len(ids)} runs have not ended yet"
        problems.append(
            Problem(
                f"run {late[0]} has not ended yet" if len(ids) == 1 else message,
                kind="run_timeout",
                exit_code=ExitCode.TIMED_OUT,
                run_id=late[0] if len(late) == 1 else None,
                hint=watch_command(late) if target.runtime is None else None,
            )
        )
    raise_worst(problems)
