"""Runs that take outputs of steps from an earlier run of their flow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stepflow_client import Keep, StepflowClientError
from stepflow_client._command import flow_variables
from stepflow_client._data.secrets import quotes_secret

from ..errors import Problem, usage
from ..inputs.values import Values
from ..output.messages import note
from ..output.view import Output, View, columns
from ..server.connect import Target
from ..settings.history import open_history
from .find import is_whole, place_of, resolve_run_id
from .job import Job, Reuse

if TYPE_CHECKING:
    from stepflow_client import RerunPlan
    from stepflow_client.history import HistoryEntry

_PLAN = View(columns=columns("index:number", "kept", "executed"))
_MAX_RUNS = 200
"""Number of runs of a flow that are looked through for one whose steps are known."""


def part_of(job: Job) -> Mapping[str, Any]:
    """Return the part of a job's flow that concerns the step that is executed alone."""
    from stepflow_client.flows.partial_flow import flow_until

    return flow_until(job.flow, job.reuse.only_step or "", job.overrides)[0]


def alone(job: Job) -> Job:
    """Return a job that executes one step with an input of its own.

    Raises:
        Problem: If an option gives the step another input.
    """
    from stepflow_client._command import merge_overrides
    from stepflow_client.flows.interpreter import flow_with
    from stepflow_client.flows.partial_flow import flow_of_step

    step, changes = job.reuse.only_step or "", merge_overrides(job.overrides) or {}
    if job.reuse.run is not None:
        raise usage("--step takes its input from the run of --reuse, or from an option: give one of them")
    if "input" in (changes.get(step) or {}).get("value", {}):
        raise usage(f"the input of step {step} is given as a whole: an override of it would have no effect")
    flow = flow_of_step(flow_with(job.flow, job.overrides), step)
    return job._replace(flow=flow, flow_id=None, overrides=None, variables=None, reuse=Reuse(), about=_unfiled(job))


def _unfiled(job: Job) -> dict[str, Any]:
    """Return the data for the history of a run of one step, which is no run of the flow's file."""
    return {key: value for key, value in job.about.items() if key != "flow_file"}


def with_earlier_run(target: Target, job: Job) -> Job:
    """Return a job with the id of the run that it takes outputs from; a job without one if there is no such run yet.

    Raises:
        Problem: If there is no such run, and the job cannot do without.
    """
    reuse = job.reuse
    if not reuse.is_asked or (reuse.only_step is not None and job.has_input):
        return job
    text = reuse.run or "@last"
    run_id = next(_found(target, job, text), None)
    if run_id is not None:
        about = job.about if reuse.only_step is None else _unfiled(job)
        return job._replace(reuse=reuse._replace(run=run_id), about=about)
    if text == "@last" and reuse.only_step is None:
        note("there is no earlier run of the flow: all of it is executed")
        if not job.has_input:
            Values(reads_stdin=False).read_input(job.flow)
        return job._replace(reuse=Reuse())
    raise Problem(
        f"the history has no run {text} of this flow" + ("" if target.runtime else f" on {target.client.url}"),
        kind="not_found",
        hint="run the whole flow first, or give the step its input" if reuse.only_step else None,
    )


def _found(target: Target, job: Job, text: str) -> Iterator[str]:
    if text.startswith("@"):
        yield from (entry.run_id for place, entry in enumerate(_runs_of(target, job)) if place == place_of(text))
    else:
        yield _named(target, text)


def _named(target: Target, text: str) -> str:
    if target.runtime is not None and not is_whole(text):
        found = target.history.search(run_id=text.lower(), limit=2)
        if len(found) == 1:
            return found[0].run_id
    return resolve_run_id(target.client, text)


def _runs_of(target: Target, job: Job) -> Iterator[HistoryEntry]:
    """Yield the recorded runs of a flow whose outputs can be taken, newest first: those of its file, or its name."""
    file, name = job.about.get("flow_file"), job.flow.get("name")
    found = [] if file is None else target.history.search(flow_file=file, limit=_MAX_RUNS)
    if not found and isinstance(name, str):
        found = [each for each in target.history.search(name, limit=_MAX_RUNS) if _is_named(each, name)]
    from stepflow_client._command import same_server

    here, config = same_server(target.client.url), _config_digest(target)
    for entry in found:
        is_kept = config is not None and target.history.kept_outputs(entry.run_id, server=config) is not None
        if (entry.server in here or is_kept) and _is_single(entry):
            yield entry


def _is_single(entry: HistoryEntry) -> bool:
    """Return whether a run has one item, as far as that is recorded."""
    if entry.has_more_runs or "input" in entry.omitted:
        return not entry.has_more_runs
    # A single input that is a list is recorded inside of a list.
    return not isinstance(entry.input, list) or len(entry.input) == 1


def _is_named(entry: HistoryEntry, name: str) -> bool:
    return isinstance(entry.flow, Mapping) and entry.flow.get("name") == name


def arguments_of(job: Job) -> dict[str, Any]:
    """Return the arguments with which the client runs the earlier run again."""
    reuse = job.reuse
    given = {"flow": job.flow, **job.arguments}
    if job.has_input:
        # The command says all of its run: what another run changed is not taken over.
        given["inherit"] = ()
        given["variables"] = {**_environment(job), **(job.variables or {})}
    if reuse.only_step is not None:
        return given | {"keep": Keep(all_except=reuse.only_step)}
    if job.has_input:
        # A single input that is a list would be taken for a batch.
        given["input"] = [job.input]
    return given | {"keep": Keep("unchanged", before=reuse.from_step)}


def plan_of(target: Target, job: Job) -> RerunPlan:
    """Return which steps a job takes from an earlier run, and which it executes."""
    arguments = arguments_of(job)
    del arguments["max_concurrency"], arguments["variables_from_env"]
    return target.client.plan_rerun(job.reuse.run or "", **arguments)


def started(target: Target, job: Job) -> str:
    """Start the run of a job of one input, which takes outputs from an earlier run, and return its id."""
    plan = plan_of(target, job)
    if plan.total != 1:
        raise usage(
            f"run {plan.run_id} is a batch of {plan.total} items, and this is one run",
            f"'stepflow runs rerun {plan.run_id} --only-changed --flow FLOW' runs the batch again",
        )
    say_plan(plan)
    (handle,) = target.client.start_rerun(job.reuse.run or "", **arguments_of(job))
    return handle.run_id


def keep_outputs(target: Target, job: Job, run_id: str) -> None:
    """Keep the outputs of a run's steps in the history if its server is an embedded one, which ends with the command.

    Outputs that contain the value of a secret variable are left out.
    """
    if target.runtime is None or not target.history.is_on:
        return
    kept = _kept_before(target, run_id)
    with suppress(StepflowClientError):
        if not target.client.server_info().capabilities["step_outputs"]:
            return
        declared = flow_variables(job.flow)
        variables = {**_environment(job), **(job.variables or {})}
        for step in target.client.get_run_steps(run_id).steps:
            is_public = not quotes_secret(step.output, variables, declared, job.flow)
            if step.status.value == "completed" and is_public:
                kept[step.step_id] = step.output
        open_history().keep_outputs(run_id, [kept], server=_config_digest(target) or "")


def _config_digest(target: Target) -> str | None:
    """Return a digest of an embedded server's configuration: it decides what components return. None for others."""
    if target.runtime is None:
        return None
    from hashlib import sha256

    return sha256(json.dumps(target.runtime.config, sort_keys=True, default=str).encode()).hexdigest()


def _kept_before(target: Target, run_id: str) -> dict[str, Any]:
    """Return the outputs that a run itself has kept: servers do not list kept steps that no executed step reads."""
    entry = target.history.get(run_id)
    earlier = None if entry is None or entry.rerun_of is None else target.history.kept_outputs(entry.rerun_of)
    if entry is None or earlier is None or len(entry.rerun_items) != 1:
        return {}
    (item,) = entry.rerun_items
    return {name: earlier[item][name] for name in entry.kept if name in earlier[item]}


def _environment(job: Job) -> dict[str, Any]:
    """Return the variables that the run takes from the environment."""
    if not job.variables_from_env:
        return {}
    from stepflow_client._command import environment_variables

    return environment_variables({}, flow_variables(job.flow), os.environ)


def print_plan(plan: RerunPlan, output: Output) -> None:
    """Print which steps of each item are kept and executed."""
    records = [{"index": item.index, "kept": list(item.kept), "executed": list(item.executed)} for item in plan.items]
    output.records(records, _PLAN, default="jsonl")
    note(_again(plan))


def _again(plan: RerunPlan, attempt: int | None = None) -> str:
    """Return how many items a plan runs again. Items that keep different outputs need runs of their own."""
    count, items = len(plan.groups), f"{len(plan.items)} of {plan.total} items"
    said = f"runs {items} again" if attempt is None else f"attempt {attempt}: {items}"
    return said + (f", in {count} runs" if count > 1 else "")


def attempt_of(target: Target, run_id: str) -> int | None:
    """Return which attempt a rerun of a run is; None if the history does not have the run."""
    entry, attempt = target.history.get(run_id), 1
    while entry is not None:
        attempt += 1
        entry = None if entry.rerun_of is None else target.history.get(entry.rerun_of)
    return attempt if attempt > 1 else None


def say_plan(plan: RerunPlan, attempt: int | None = None) -> None:
    """Print on standard error which items and steps will be executed."""
    if not plan.items:
        note(f"nothing to run again: all items of run {plan.run_id} succeeded")
        return
    if plan.total > 1:
        note(_again(plan, attempt))
    kinds = {(tuple(item.kept), tuple(item.executed)) for item in plan.items}
    if len(kinds) == 1:
        kept, executed = kinds.pop()
        note(f"keeps {', '.join(kept) or 'no step'}; executes {', '.join(executed) or 'no step'}")
    else:
        note("keeps other steps of each item; --dry-run lists them")
    if plan.recorded:
        note(f"takes {', '.join(plan.recorded)} from the history")
    if plan.outdated:
        said = ", ".join(plan.outdated)
        note(f"warning: keeps outputs of another definition, input or other variables: {said}")
    if plan.unknown:
        what = " and ".join(plan.unknown)
        note(f"{what} of the earlier run are not taken over: give them again if it had any")
