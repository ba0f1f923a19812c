"""Running a flow, from reading its file to printing the result; shared by `run`, `submit` and `batch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidFlowError, NotFoundError, StepflowClientError
from stepflow_client._command import environment_variables, flow_variables
from stepflow_client.flows.flow_argument import is_flow_id
from stepflow_client.flows.graph import FlowSteps
from stepflow_client.flows.needs import check_inputs, check_variables

from ..errors import Problem, problem_of, usage
from ..exit_codes import ExitCode
from ..inputs.batch import all_inputs
from ..inputs.flow import load_flow_file
from ..inputs.values import Values, note_unread_fields
from ..output.messages import note, waiting
from ..output.view import Output
from ..records.results import print_result
from ..server.connect import Target
from ..settings.history import require_history
from ..validation.before_run import check_before_run, read_flow_text
from .accounts import explained, written_in_python
from .job import Job, JobOptions
from .live import shown_while_waiting
from .reuse import alone, keep_outputs, part_of, started, with_earlier_run
from .wait import Wait, hinting_return, with_views

if TYPE_CHECKING:
    from stepflow_client import FlowResult
    from stepflow_client.flows.source import FlowText

    from .caching import JobCache

__all__ = ["Job"]


def prepare(given: JobOptions, *, reads_inputs: bool = False) -> Job:
    """Read the flow and the values before anything is sent or started.

    Args:
        given: The options. The values for a stored flow are read once the server is known.
        reads_inputs: Whether to read all inputs of a batch. By default, they are read as they are needed.

    Raises:
        Problem, FlowFileError: If the flow or a value is wrong.
    """
    flow, values, inputs = given.flow, given.values, given.inputs
    values.check(flow=flow, inputs=inputs, option="INPUTS")
    about = {name: value for name, value in given.about.items() if value}
    if about:
        require_history()
    is_stored = is_flow_id(flow)
    if given.idempotency_key is not None and is_stored:
        raise usage("--idempotency-key needs the flow's file, not its id: the flow carries the key")
    if not is_stored and flow != "-":
        about["flow_file"] = flow
    text = None
    if given.check and not is_stored:
        text = read_flow_text(flow)
    job = Job(
        flow={} if is_stored else load_flow_file(flow) if text is None else dict(text.unplaced.root.value),
        flow_id=flow if is_stored else None,
        unread=values,
        inputs=inputs,
        input_format=given.streaming.get("input_format"),
        batch=[] if reads_inputs and inputs is not None else None,
        variables_from_env=values.variables_from_env,
        max_concurrency=given.max_concurrency,
        check=given.check,
        idempotency_key=given.idempotency_key,
        idempotency_scope=given.idempotency_scope,
        wait_for_components=given.wait_for_components,
        retry=given.retry,
        about=about,
        up_to=given.up_to,
        reuse=given.reuse,
    )
    return job if is_stored else _with_values(job, text, flow)


def _with_values(job: Job, text: FlowText | None = None, name: str = "") -> Job:
    """Return a job whose flow is known, with its input, overrides and variables read.

    Args:
        job: The job.
        text: The text of the flow, if it is to be checked.
        name: The name of the flow on the command line.
    """
    values = job.unread
    assert values is not None
    job = job._replace(unread=None, overrides=values.read_overrides(job.flow))
    job = job._replace(variables=values.read_variables(job.flow))
    whole, changed = job, {step for each in job.overrides or () for step in each}
    if job.up_to is not None:
        job = _cut(job, job.up_to)
    if text is not None:
        only, is_part = job.reuse.only_step, job.up_to is not None or job.reuse.only_step is not None
        check_before_run(text, name, job.flow if only is None else part_of(job), changed=changed, is_part=is_part)
    advice = "--no-check runs it all the same"
    check_variables(
        whole.flow,
        _all_variables(whole),
        whole.overrides,
        check_values=job.check,
        # A file of variables may be that of several flows.
        is_strict=job.check and bool(values.single_variables) and not values.variables,
        advice=advice,
    )
    job = _with_input(job, values)
    # The inputs of a batch that are not read yet are checked one by one.
    if job.check and job.has_input and (job.inputs is None or job.batch is not None):
        inputs = [job.input] if job.batch is None else job.batch
        file = job.inputs or next((each.text for each in values.input if each.form == "file"), None)
        if isinstance(job.input, list):
            advice = f"'stepflow batch FLOW INPUTS' runs a flow on each input of a list; {advice}"
        check_inputs(job.flow, inputs, advice=advice, file=None if file == "-" else file)
    return job


def _all_variables(job: Job) -> dict[str, Any]:
    """Return the given variables, and those that will be read from the environment."""
    given = job.variables or {}
    if not job.variables_from_env:
        return given
    return environment_variables(given, flow_variables(job.flow), os.environ)


def _with_input(job: Job, values: Values) -> Job:
    """Return a job with its input, which may be that of an earlier run, or of one step."""
    if job.inputs is not None:
        if job.batch is None:
            return job
        return job._replace(batch=all_inputs(job.inputs, job.input_format, job.flow))
    if job.reuse.is_asked:
        given = values.given_input(job.flow)
        job = job._replace(has_input=given is not None, input=None if given is None else given[0])
    else:
        job = job._replace(input=values.read_input(job.flow))
    if job.reuse.only_step is None or not job.has_input:
        return job
    return alone(job)


def _cut(job: Job, up_to: str) -> Job:
    """Return a job that runs the flow only up to a step.

    Raises:
        InvalidArgumentError: If the flow has no such step.
    """
    from stepflow_client.flows.partial_flow import flow_until

    flow, overrides = flow_until(job.flow, up_to, job.overrides)
    return job._replace(flow=flow, flow_id=None, overrides=None if overrides is None else [overrides])


def completed(target: Target, job: Job) -> Job:
    """Return a job with everything that depends on its flow. A stored flow is requested from the server.

    Raises:
        Problem: If the server has no such flow, the history no such run, or a value is wrong.
    """
    return with_earlier_run(target, _read(target, job))


def _read(target: Target, job: Job) -> Job:
    if job.unread is None or job.flow_id is None:
        return job
    try:
        stored = target.client.get_flow(job.flow_id)
    except NotFoundError as error:
        where = "an embedded server, which has only the flows of its own store" if target.runtime else None
        raise problem_of(error, hint=where and f"this is {where}; --url names another") from None
    return _with_values(job._replace(flow=stored.flow))


def start(target: Target, job: Job) -> str:
    """Start a job's run and return the run's id.

    Raises:
        Problem: If the request is interrupted (then it is unknown whether the run exists), or the steps form a cycle.
    """
    try:
        with waiting("submitting"):
            job = completed(target, job)
            with target.history.recording(flow=job.flow, **job.about):
                return _submitted(target, job)
    except InvalidFlowError as error:
        cycle = FlowSteps(job.flow).cycle()
        if not cycle:
            raise
        raise problem_of(error, hint=f"the steps form a cycle: {' -> '.join(cycle)}") from error
    except KeyboardInterrupt:
        if target.ends_with_command:
            raise
        raise Problem(
            "interrupted; a run may have been created, and goes on then",
            kind="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            hint=f"'{target.return_command('runs list --limit', '5')}' shows the newest",
        ) from None


def _submitted(target: Target, job: Job) -> str:
    if job.reuse.is_asked:
        return started(target, job)
    run_id = target.client.submit(
        job.flow_id or job.flow,
        # A single input that is a list would be taken for a batch.
        [job.input] if job.batch is None else job.batch,
        **job.arguments,
        idempotency_key=job.idempotency_key,
        idempotency_scope=job.idempotency_scope,
        wait_for_components=job.wait_for_components,
        # The inputs were checked before anything was sent.
        check_input=False,
    )
    older = None if job.idempotency_key is None else target.client.handle(run_id).older_flow_id
    if older is not None:
        note(f"run {run_id} has this idempotency key, and is of another version of the flow: {older}")
    return run_id


@contextmanager
def naming(target: Target, run_id: str) -> Iterator[None]:
    """Add the run's id, and how to get its result, to failures of the block."""
    try:
        yield
        # Errors in writing the last output appear only now.
        sys.stdout.flush()
    except StepflowClientError as error:
        # The caller that started the server knows whether it has ended.
        error.run_id = error.run_id or run_id
        raise
    except Problem as problem:
        with_views(name_run(problem, target, run_id), target, run_id)
        raise


def name_run(problem: Problem, target: Target, run_id: str) -> Problem:
    """Return a problem with the run's id, and with how to get its result."""
    if problem.run_id is None:
        problem.run_id = run_id
        if problem.hint is None and not target.ends_with_command:
            problem.hint = f"run {run_id} was created: {target.return_command('runs result', run_id)}"
    return problem


def print_cached(cache: JobCache, job: Job, output: Output) -> bool:
    """Print the cached result of a job, and return whether there is one."""
    from .caching import tell

    result = cache.find(job)
    if result is None:
        return False
    print_result(result, output)
    tell(result)
    return True


def run_job(target: Target, job: Job, wait: Wait, output: Output, cache: JobCache | None = None) -> None:
    """Run a job of one input and print its result.

    Raises:
        Problem: If it did not succeed.
    """
    if cache is None:
        result = _result(target, job, wait)
    else:
        with waiting("reading the flow"):
            job = completed(target, job)
        result = cache.result(job, partial(_result, target, job, wait))
    with naming(target, result.run_id):
        try:
            print_result(result, output)
        except Problem as problem:
            if problem.kind == "run_failed":
                hints = (problem.hint or explained(target, job, result), written_in_python(job, result))
                problem.hint = "; ".join(filter(None, hints)) or None
            raise
    # A failure has a hint of its own.
    note_unread_input(job)


def note_unread_input(job: Job) -> None:
    """Print a note about the fields of a single input that the flow neither declares nor reads."""
    if job.inputs is None and job.has_input:
        note_unread_fields(job.with_overrides, job.input)


def _result(target: Target, job: Job, wait: Wait) -> FlowResult:
    run_id = start(target, job)
    with naming(target, run_id), hinting_return(target, run_id, wait), shown_while_waiting(target, run_id):
        result = target.client.get_result(run_id, timeout=wait.timeout)
    keep_outputs(target, job, run_id)
    return result
