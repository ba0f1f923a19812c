"""Waiting for several runs, and how they ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from stepflow_client import RunTimeoutError
from stepflow_client._command import is_given_up

from ..errors import Problem
from ..exit_codes import ExitCode
from ..output.view import Output, Record
from ..records.runs import RUN
from ..server.connect import Target
from .bulk import for_each_run, print_done, raise_worst
from .wait import Wait, hinting_return
from .watch import failure_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails

_ONE_LOOK = 5.0
"""Timeout in seconds of the request for a run's state if the time for waiting is (nearly) over."""


def print_ends(target: Target, ids: list[str], wait: Wait, output: Output) -> None:
    """Wait for runs and print those that end in time, in the given order.

    Raises:
        Problem: If a run did not complete; the worst, after the others have been shown.
    """
    problems: list[Problem] = []
    # Check first that the server can be reached: otherwise there is nothing to return to.
    target.client.server_info()
    print_done(output, _ended(target, ids, wait, problems), RUN)
    raise_worst(problems)


def _ended(target: Target, ids: list[str], wait: Wait, problems: list[Problem]) -> Iterator[Record]:
    """Yield the runs that end in time. Failures and late runs are added to `problems`."""
    late: list[str] = []
    deadline = None if wait.timeout is None else time.monotonic() + wait.timeout

    def until_end(run_id: str) -> RunDetails | None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        with hinting_return(target, run_id, wait, _again(target, late + ids[ids.index(run_id) :])):
            run = _run_at_end(target, run_id, left)
            if run is None:
                late.append(run_id)
            elif problem := failure_of(target, run):
                problems.append(problem)
            return run

    for run in for_each_run(ids, until_end, problems):
        if run is not None:
            yield run.to_dict()
    if late:
        one = len(ids) == 1
        problems.append(
            Problem(
                f"run {late[0]} has not ended yet" if one else f"{len(late)} of {len(ids)} runs have not ended yet",
                kind="run_timeout",
                exit_code=ExitCode.TIMED_OUT,
                run_id=late[0] if len(late) == 1 else None,
                hint=_again(target, late) if target.runtime is None else None,
            )
        )


def _run_at_end(target: Target, run_id: str, left: float | None) -> RunDetails | None:
    if left != 0:
        with suppress(RunTimeoutError):
            return target.client.wait_run(run_id, timeout=left)
    # The time may have been (nearly) over before its turn came.
    run = target.client.get_run(run_id, timeout=_ONE_LOOK)
    if is_given_up(run.status, run.items.running):
        return target.client.wait_run(run_id, timeout=_ONE_LOOK)
    return run if run.is_finished else None


def _again(target: Target, ids: list[str]) -> str:
    return target.return_command("runs watch -q", " ".join(ids))
