"""Starts runs that reuse step outputs from an earlier run of the same flow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepflow_client import Keep, NotFoundError, StepflowClientError
from stepflow_client._command import parse_declared_variables
from stepflow_client._data.secrets import contains_secret

from ..errors import Problem, usage
from ..inputs.command_line_values import RunValues
from ..output.messages import note
from ..output.printing import Output
from ..output.record_views import View, columns
from ..server.connect import Target
from ..settings.run_history import open_history
from .find_runs import expand_run_id, is_complete_run_id, parse_history_position
from .job_from_options import Job
from .run_options import ReuseOptions

if TYPE_CHECKING:
    from stepflow_client import RerunPlan, SyncRunHandle
    from stepflow_client.history import HistoryEntry

_PLAN_VIEW = View(columns("index:number", "kept", "executed"))
# Maximum number of a flow's runs to search for step outputs that can be reused.
_MAX_SEARCHED_RUNS = 200


def set_run_to_reuse(target: Target, job: Job) -> None:
    """Find the run whose outputs a job reuses. If the flow has never run, let the whole flow run.

    Raises:
        Problem: If the job needs a run that doesn't exist.
    """
    reuse = job.reuse
    if reuse.only_step is not None and job.has_input:
        return
    text = reuse.run or "@last"
    run_id: str | None
    if text.startswith("@"):
        run_id = next(islice(_iter_reusable_runs(target, job), parse_history_position(text), None), None)
    else:
        recorded = []
        if target.runtime is not None and not is_complete_run_id(text):
            recorded = target.history.search(run_id=text.lower(), limit=2)
        run_id = recorded[0].run_id if len(recorded) == 1 else expand_run_id(target.client, text)
    if run_id is not None:
        job.reuse = reuse._replace(run=run_id)
        if reuse.only_step is not None:
            # This run only executes one step, so don't record the flow's file. Otherwise, `--reuse @last` would find
            # this run.
            job.about.pop("flow_file", None)
    elif text == "@last" and reuse.only_step is None:
        note("no earlier run of the flow: executing all of it")
        if not job.has_input:
            # This raises an error if the flow needs an input.
            RunValues(reads_stdin=False).read_input(job.flow)
        job.reuse = ReuseOptions()
    else:
        where = "" if target.runtime else f" on {target.client.url}"
        hint = "run the whole flow first, or pass the step's input" if reuse.only_step else None
        raise Problem(f"the history has no run {text} of this flow{where}", kind="not_found", hint=hint)


def _iter_reusable_runs(target: Target, job: Job) -> Iterator[str]:
    """Yield the runs in the history whose outputs the flow can reuse, newest first.

    Runs are matched by the flow's file or, failing that, by its name.
    """
    from stepflow_client._command import list_server_aliases

    file, name = job.about.get("flow_file"), job.flow.get("name")
    servers, config = list_server_aliases(target.client.url), _compute_server_config_digest(target)

    def is_reusable(entry: HistoryEntry) -> bool:
        is_kept = config is not None and target.history.kept_outputs(entry.run_id, server=config) is not None
        if entry.has_more_runs or not (entry.server in servers or is_kept):
            return False
        if "input" in entry.omitted and not is_kept:
            # An evaluation's inputs aren't recorded, and neither are large inputs.
            with suppress(NotFoundError):
                return target.client.get_run(entry.run_id).items.total == 1
            return False
        # If a single input is a list, it is recorded inside another list.
        return not isinstance(entry.input, list) or len(entry.input) == 1

    has_match = False
    for entry in [] if file is None else target.history.search(flow_file=file, limit=_MAX_SEARCHED_RUNS):
        if is_reusable(entry):
            has_match = True
            yield entry.run_id
    if not has_match and isinstance(name, str):
        for entry in target.history.search(name, limit=_MAX_SEARCHED_RUNS):
            if isinstance(entry.flow, Mapping) and entry.flow.get("name") == name and is_reusable(entry):
                yield entry.run_id


def _build_rerun_arguments(job: Job) -> dict[str, Any]:
    arguments = {"flow": job.flow, **job.start_arguments}
    if job.has_input:
        # The command line describes the whole run, so don't take anything else from the earlier run.
        arguments["inherit"] = ()
        arguments["variables"] = job.variables_with_environment
    if job.reuse.only_step is not None:
        arguments["keep"] = Keep(all_except=job.reuse.only_step)
        return arguments
    if job.has_input:
        # Wrap the input in a list. Otherwise, an input that is itself a list would be treated as a batch.
        arguments["input"] = [job.input]
    arguments["keep"] = Keep("unchanged", before=job.reuse.from_step)
    return arguments


def plan_reuse(target: Target, job: Job) -> RerunPlan:
    """Return a plan of which steps a job reuses from an earlier run and which ones it executes."""
    arguments = _build_rerun_arguments(job)
    del arguments["max_concurrency"], arguments["variables_from_env"]
    return target.client.plan_rerun(job.reuse.run or "", **arguments)


def start_reusing_outputs(target: Target, job: Job) -> SyncRunHandle[Any]:
    """Start a job with a single input that reuses outputs from an earlier run and return the new run."""
    plan = plan_reuse(target, job)
    if plan.total != 1:
        hint = f"to run the batch again, use 'stepflow runs rerun {plan.run_id} --only-changed --flow FLOW'"
        raise usage(f"run {plan.run_id} is a batch of {plan.total} items, but this is one run", hint)
    note_rerun_plan(plan)
    (handle,) = target.client.start_rerun(job.reuse.run or "", **_build_rerun_arguments(job))
    return handle


def save_step_outputs(target: Target, job: Job, run_id: str) -> None:
    """Save a run's step outputs in the history, except those that contain the value of a secret variable."""
    kept = _get_inherited_outputs(target, run_id)
    with suppress(StepflowClientError):
        if not target.client.server_info().capabilities["step_outputs"]:
            return
        declared, variables = parse_declared_variables(job.flow), job.variables_with_environment
        for step in target.client.get_run_steps(run_id).steps:
            is_public = not contains_secret(step.output, variables, declared, job.flow)
            if step.status.value == "completed" and is_public:
                kept[step.step_id] = step.output
        open_history().keep_outputs(run_id, [kept], server=_compute_server_config_digest(target) or "")


def _compute_server_config_digest(target: Target) -> str | None:
    """Return a digest of an embedded server's configuration (which outputs depend on), or None for any other server."""
    if target.runtime is None:
        return None
    from hashlib import sha256

    return sha256(json.dumps(target.runtime.config, sort_keys=True, default=str).encode()).hexdigest()


def _get_inherited_outputs(target: Target, run_id: str) -> dict[str, Any]:
    """Return a rerun's kept outputs from the history. (Servers only list a kept step if an executed step reads it.)"""
    entry = target.history.get(run_id)
    earlier = None if entry is None or entry.rerun_of is None else target.history.kept_outputs(entry.rerun_of)
    if entry is None or earlier is None or len(entry.rerun_items) != 1:
        return {}
    (item,) = entry.rerun_items
    return {name: earlier[item][name] for name in entry.kept if name in earlier[item]}


def print_rerun_plan(plan: RerunPlan, output: Output) -> None:
    """Print which steps are kept and which are executed for each item."""
    records = [{"index": item.index, "kept": list(item.kept), "executed": list(item.executed)} for item in plan.items]
    output.print_records(records, _PLAN_VIEW, default="jsonl")
    note(_summarize_plan(plan))


def _summarize_plan(plan: RerunPlan, attempt: int | None = None) -> str:
    """Describe how many items a plan reruns, and in how many runs.

    Items that keep different steps need separate runs.
    """
    count, items = len(plan.groups), f"{len(plan.items)} of {plan.total} items"
    text = f"runs {items} again" if attempt is None else f"attempt {attempt}: {items}"
    return text + (f", in {count} runs" if count > 1 else "")


def get_next_attempt_number(target: Target, run_id: str) -> int | None:
    """Return the attempt number for a rerun of this run, or None if the run isn't in the history."""
    entry, attempt = target.history.get(run_id), 1
    while entry is not None:
        attempt += 1
        entry = None if entry.rerun_of is None else target.history.get(entry.rerun_of)
    return attempt if attempt > 1 else None


def note_rerun_plan(plan: RerunPlan, attempt: int | None = None) -> None:
    """Print to standard error which items will be rerun and which steps will be executed."""
    if not plan.items:
        note(f"nothing to run again: all items of run {plan.run_id} succeeded")
        return
    if plan.total > 1:
        note(_summarize_plan(plan, attempt))
    kinds = {(tuple(item.kept), tuple(item.executed)) for item in plan.items}
    if len(kinds) == 1:
        kept, executed = kinds.pop()
        note(f"keeps {', '.join(kept) or 'no step'}; executes {', '.join(executed) or 'no step'}")
    else:
        note("kept steps differ between items; to list them, use --dry-run")
    if plan.recorded:
        note(f"using {', '.join(plan.recorded)} from the history")
    if plan.outdated:
        steps = ", ".join(plan.outdated)
        note(f"warning: keeps outputs of a different definition, input or variables: {steps}")
    if plan.unknown:
        what = " and ".join(plan.unknown)
        note(f"{what} of the earlier run are not reused: pass them again if it had any")
