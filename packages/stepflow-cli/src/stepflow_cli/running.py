"""Running a flow on one input, from its file to what is printed; `run` and `submit` share it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .connect import Target
from .exit_codes import ExitCode
from .flow_files import load_flow_file
from .options import Wait
from .output import Column, Output, View
from .problems import Problem, problem_of
from .progress import waiting
from .session import current_session
from .values import Values

if TYPE_CHECKING:
    from stepflow_client import FlowResult

__all__ = [
    "RESULT",
    "Job",
    "failure",
    "or_come_back",
    "prepare",
    "print_result",
    "result_record",
    "run_job",
    "start",
    "to_file",
    "wait_for",
]

Answer = TypeVar("Answer")

RESULT = View(
    columns=(
        Column("run_id", kind="id"),
        Column("status", kind="status"),
        Column("output"),
        Column("error.message", title="ERROR"),
    ),
    fields=("error", "error.code", "error.step_id", "error.details"),
)
"""The result of a run of one input."""


@dataclass(frozen=True)
class Job:
    """A flow and all it is run with."""

    flow: dict[str, Any]
    input: Any = None
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    env_variables: bool = False


def prepare(flow: str, values: Values, *, inputs: str | None = None) -> Job:
    """Read the flow and the values, before anything is sent or started.

    Args:
        flow: The flow's file.
        values: What the command line says.
        inputs: The file of a batch's inputs; there is no single input then.

    Raises:
        Problem, FlowFileError: If something is wrong.
    """
    values.check(flow=flow, inputs=inputs)
    content = load_flow_file(flow)
    job = Job(
        flow=content,
        input=values.read_input(content) if inputs is None else None,
        overrides=values.read_overrides(content),
        variables=values.read_variables(content),
        env_variables=values.env_variables,
    )
    current_session().job = job
    return job


def to_file(output: Output, file: str | None) -> Output:
    """Give the output that goes to what `--output` names; `.yaml`, `.yml` and `.jsonl` decide the format.

    Raises:
        Problem: If the file cannot be written.
    """
    if file is None:
        return output
    ending = file.lower().rpartition(".")[2]
    by_ending = {"yaml": "yaml", "yml": "yaml", "jsonl": "jsonl"}.get(ending)
    to = dataclasses.replace(output, path=file)
    to.check()
    # The value alone stays what is written: the ending says how it is written, not what.
    return to if output.format or by_ending is None else dataclasses.replace(to, value_format=by_ending)


def start(target: Target, job: Job, inputs: Any, *, max_concurrency: int | None = None) -> str:
    """Start the run and give its id.

    Args:
        target: The server.
        job: The flow and what it is run with.
        inputs: The list of inputs.
        max_concurrency: How many run at once.
    """
    with waiting("submitting"):
        return target.client.submit(
            job.flow,
            inputs,
            job.overrides,
            variables=job.variables,
            variables_from_env=job.env_variables,
            max_concurrency=max_concurrency,
        )


def wait_for(
    target: Target, run_id: str, wait: Wait, ask: Callable[[], Answer], text: str = "", again: str | None = None
) -> Answer:
    """Wait for a run; if the wait ends before the run does, say how to come back.

    Args:
        target: The server.
        run_id: The run.
        wait: What an interrupt means.
        ask: Waits and gives what is wanted of the run.
        text: What is shown meanwhile.
        again: The command that comes back; by default `stepflow runs watch`.

    Raises:
        Problem: If the wait is interrupted, too long, or the server is lost.
    """
    with or_come_back(target, run_id, wait, again), waiting(text or f"waiting for run {run_id}"):
        return ask()


@contextmanager
def or_come_back(target: Target, run_id: str, wait: Wait, again: str | None = None) -> Iterator[None]:
    """Say how to come back to a run if the block ends before the run does; arguments and errors as for `wait_for`."""
    from stepflow_client import RunTimeoutError, TransportError

    again = None if target.ends_with_command else again or target.come_back("runs watch", run_id)
    try:
        yield
    except KeyboardInterrupt:
        raise _interrupted(target, run_id, wait, again) from None
    except RunTimeoutError as error:
        raise problem_of(error, hint=again or "the embedded server has ended, and the run with it") from error
    except TransportError as error:
        if target.runtime:
            raise
        raise problem_of(error, hint=again) from error


def _interrupted(target: Target, run_id: str, wait: Wait, again: str | None) -> Problem:
    if target.ends_with_command:
        said = f"interrupted; run {run_id} ends with the embedded server"
    elif wait.on_interrupt == "cancel":
        from stepflow_client import StepflowClientError

        try:
            target.client.cancel_run(run_id)
        except StepflowClientError as error:
            said = f"interrupted; run {run_id} could not be cancelled: {error.message}"
        else:
            said, again = f"interrupted; run {run_id} is cancelled", None
    else:
        said = f"interrupted; run {run_id} goes on"
    return Problem(said, kind="interrupted", exit_code=ExitCode.INTERRUPTED, run_id=run_id, hint=again)


def run_job(target: Target, job: Job, wait: Wait, output: Output) -> None:
    """Run a job and print its result: the output alone, or the whole result where a format is asked for.

    Raises:
        Problem: If the run does not succeed.
    """
    # One input that is a list would be a batch.
    run_id = start(target, job, [job.input])
    print_result(wait_for(target, run_id, wait, lambda: target.client.get_result(run_id, timeout=wait.timeout)), output)


def print_result(result: FlowResult, output: Output) -> None:
    """Print the output of a success alone, or the whole result where a format is asked for.

    Raises:
        Problem: If it is no success.
    """
    if output.format or output.fields:
        output.record(result_record(result), RESULT, default="json")
    elif result.is_success:
        output.value(result.output)
    problem = failure(result)
    if problem is not None:
        raise problem


def result_record(result: FlowResult) -> dict[str, Any]:
    """Give a result as a record."""
    return {
        "run_id": result.run_id,
        "status": result.status.value,
        "output": result.output,
        "error": None if result.error is None else result.error.model_dump(mode="json"),
    }


def failure(result: FlowResult) -> Problem | None:
    """Give the problem of a result that is no success; None for a success."""
    from stepflow_client import RunFailedError

    try:
        result.raise_for_failure()
    except RunFailedError as error:
        kind = "run_cancelled" if result.is_cancelled else "run_failed"
        return Problem(error.message, kind=kind, exit_code=ExitCode.for_result(result), run_id=result.run_id)
    return None
