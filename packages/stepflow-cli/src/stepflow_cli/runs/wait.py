"""Waiting for a run, and the message if the wait ends before the run does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from ..errors import ExitCode, Problem, to_problem
from ..output.color import is_terminal
from ..server.connect import Target


class Wait(NamedTuple):
    """How a command waits for a run."""

    timeout: float | None = None
    """Seconds; None for no limit."""
    on_interrupt: Literal["detach", "cancel"] = "detach"
    """The effect of Ctrl-C on the run: it continues, or it is cancelled."""


def add_view_commands(problem: Problem, target: Target, run_id: str) -> None:
    """Add to the problem of a failed run, on a terminal, the commands that show the run."""
    if problem.kind == "run_failed" and not target.ends_with_command and is_terminal(sys.stderr):
        page = target.return_command("ui --open", run_id)
        report = target.return_command("runs report", run_id)
        views = f"'{page}' shows the run, '{report} -O report.html' writes it down"
        problem.hint = f"{problem.hint}; {views}" if problem.hint else views


@contextmanager
def hinting_return(target: Target, run_id: str, wait: Wait, again: str | None = None) -> Iterator[None]:
    """Report how to return to a run if the block ends before the run does.

    Args:
        target: The server.
        run_id: The run.
        wait: The effect of an interrupt.
        again: The command that returns to the run; by default `stepflow runs watch`.

    Raises:
        Problem: If the block is interrupted or times out, or the server is lost.
    """
    from stepflow_client import RunTimeoutError, StepflowClientError, TransportError

    hint = None if target.ends_with_command else again or target.return_command("runs watch", run_id)
    try:
        yield
    except KeyboardInterrupt:
        if target.ends_with_command:
            outcome = "ends with the embedded server"
        elif wait.on_interrupt == "cancel":
            try:
                target.client.cancel_run(run_id)
            except StepflowClientError as error:
                outcome = f"could not be cancelled: {error.message}"
            else:
                outcome = "is marked as cancelled"
                hint = "released servers do not stop the work of a cancelled run"
        else:
            outcome = "continues"
        message, code = f"interrupted; run {run_id} {outcome}", ExitCode.INTERRUPTED
        raise Problem(message, kind="interrupted", exit_code=code, run_id=run_id, hint=hint) from None
    except RunTimeoutError as error:
        raise to_problem(error, hint=hint or "the embedded server has stopped, and the run with it") from error
    except TransportError as error:
        if target.runtime:
            raise
        raise to_problem(error, hint=hint) from error
