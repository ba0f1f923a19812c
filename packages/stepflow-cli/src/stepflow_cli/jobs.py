"""Running a flow, from its file to what is printed; `run` and `submit` share it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from .batch_inputs import read_inputs
from .connect import Target
from .exit_codes import ExitCode
from .fields import check_known
from .flow_files import load_flow_file
from .output import Output
from .problems import Problem
from .results import BATCH_RESULT, RESULT, print_result, print_results
from .session import current_session
from .spinner import waiting
from .values import Values
from .waits import Wait, wait_for

__all__ = ["Job", "naming", "prepare", "run_job", "start"]


@dataclass(frozen=True)
class Job:
    """A flow and all it is run with."""

    flow: dict[str, Any]
    input: Any = None
    batch: list[Any] | None = None
    """The inputs, where there are several; there is no single one then."""
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    env_variables: bool = False
    max_concurrency: int | None = None
    """How many inputs run at once."""


def prepare(flow: str, values: Values, *, inputs: str | None = None, max_concurrency: int | None = None) -> Job:
    """Read the flow and the values, before anything is sent or started.

    Args:
        flow: The flow's file.
        values: What the command line says.
        inputs: The file of a batch's inputs; there is no single input then.
        max_concurrency: How many steps are executed at once, of all inputs together.

    Raises:
        Problem, FlowFileError: If something is wrong.
    """
    values.check(flow=flow, inputs=inputs)
    content = load_flow_file(flow)
    job = Job(
        flow=content,
        input=values.read_input(content) if inputs is None else None,
        batch=None if inputs is None else read_inputs(inputs, values.stdin_format),
        overrides=values.read_overrides(content),
        variables=values.read_variables(content),
        env_variables=values.env_variables,
        max_concurrency=max_concurrency,
    )
    current_session().job = job
    return job


def start(target: Target, job: Job) -> str:
    """Start the run of a job and give its id.

    Raises:
        Problem: If that is interrupted: whether there is a run is not known then.
    """
    try:
        with waiting("submitting"):
            return target.client.submit(
                job.flow,
                # One input that is a list would be a batch.
                [job.input] if job.batch is None else job.batch,
                job.overrides,
                variables=job.variables,
                variables_from_env=job.env_variables,
                max_concurrency=job.max_concurrency,
            )
    except KeyboardInterrupt:
        if target.ends_with_command:
            raise
        raise Problem(
            "interrupted; a run may have been created, and goes on then",
            kind="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            hint=f"'{target.come_back('runs list --limit', '5')}' shows the newest",
        ) from None


@contextmanager
def naming(target: Target, run_id: str) -> Iterator[None]:
    """Let no failure of the block hide which run there is, or how to get its result."""
    from stepflow_client import StepflowClientError

    try:
        yield
        # What is written last fails only now.
        sys.stdout.flush()
    except StepflowClientError as error:
        # Who started the server knows whether it has ended.
        error.run_id = error.run_id or run_id
        raise
    except Problem as problem:
        if problem.run_id is None:
            problem.run_id = run_id
            if problem.hint is None and not target.ends_with_command:
                problem.hint = f"run {run_id} was created: {target.come_back('runs result', run_id)}"
        raise


def run_job(target: Target, job: Job, wait: Wait, output: Output) -> None:
    """Run a job and print its result, or a record for each input of a batch, in their order.

    Raises:
        Problem: If not all of it succeeds.
    """
    # A misspelt field must not cost a whole run.
    check_known(output.fields, RESULT if job.batch is None else BATCH_RESULT)
    if job.batch is None:
        _run_one(target, job, wait, output)
    else:
        _run_batch(target, job, wait, output, number=len(job.batch))


def _run_one(target: Target, job: Job, wait: Wait, output: Output) -> None:
    run_id = start(target, job)
    with naming(target, run_id):
        result = wait_for(target, run_id, wait, lambda: target.client.get_result(run_id, timeout=wait.timeout))
        print_result(result, output)


def _run_batch(target: Target, job: Job, wait: Wait, output: Output, *, number: int) -> None:
    if not number:
        output.records([], BATCH_RESULT, default="jsonl")
        return
    run_id = start(target, job)
    text = f"running {number} inputs"
    with naming(target, run_id):
        ask = partial(target.client.get_results, run_id, timeout=wait.timeout)
        print_results(run_id, wait_for(target, run_id, wait, ask, text=text), output)
