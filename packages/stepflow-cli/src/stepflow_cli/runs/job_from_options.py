"""Reads a command's flow and its arguments from files and options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stepflow_client._command import add_env_variables, parse_declared_variables, unify_overrides
from stepflow_client.flows.graph import cut_flow_to_step, flow_of_step
from stepflow_client.flows.reading import is_flow_id
from stepflow_client.flows.run_requirements import check_inputs, check_variables

from ..errors import usage
from ..inputs.command_line_values import note_unread_input_fields, read_batch_inputs
from ..inputs.flow_loading import load_flow_argument
from ..validation.before_run import check_before_run, read_mapping_flow_text
from .run_options import ReuseOptions, RunOptions

if TYPE_CHECKING:
    from stepflow_client.flows.syntax_tree import FlowText


@dataclass(eq=False, repr=False)
class Job:
    """A flow and the arguments to run it with."""

    options: RunOptions
    flow: dict[str, Any]
    """The flow, or {} for a stored flow that hasn't been fetched yet."""
    flow_id: str | None = None
    """The ID of a stored flow, if that flow runs unchanged."""
    about: dict[str, Any] = field(default_factory=dict)
    """Data to record in the history: the flow's file, labels and a note."""
    input: Any = None
    has_input: bool = True
    """Whether the job has an input. If not, it uses the input of the earlier run."""
    batch: list[Any] | None = None
    """The inputs of a batch that is sent as one run or only checked. Other batches read theirs while running."""
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    reuse: ReuseOptions = field(default_factory=ReuseOptions)

    @property
    def has_unloaded_flow(self) -> bool:
        """Whether a stored flow still has to be fetched."""
        return self.flow_id is not None and not self.flow

    @property
    def flow_with_overrides(self) -> Mapping[str, Any]:
        """The flow with its overrides applied."""
        if not self.overrides:
            return self.flow
        from stepflow_client.flows.interpreter import apply_overrides_if_valid

        return apply_overrides_if_valid(self.flow, self.overrides)

    @property
    def variables_with_environment(self) -> dict[str, Any]:
        """The variables that were passed, plus any that the run takes from the environment."""
        given = self.variables or {}
        if not self.options.values.variables_from_env:
            return given
        return add_env_variables(given, parse_declared_variables(self.flow), os.environ)

    @property
    def start_arguments(self) -> dict[str, Any]:
        """The arguments for the client methods that start runs, except for the input."""
        return {
            "overrides": self.overrides,
            "variables": self.variables,
            "variables_from_env": self.options.values.variables_from_env,
            "max_concurrency": self.options.max_concurrency,
        }

    def note_unread_input_fields(self) -> None:
        """Print a note about any fields of a single input that the flow neither declares nor reads."""
        if self.options.inputs is None and self.has_input:
            note_unread_input_fields(self.flow_with_overrides, self.input)


def read_job_from_options(options: RunOptions) -> Job:
    """Read the flow and its arguments before anything is sent or started.

    The arguments of a stored flow are read later, by `read_job_arguments`, once the flow has been fetched.

    Raises:
        Problem, FlowFileError: If the flow or one of its arguments is invalid.
    """
    name = options.flow
    options.values.check_value_conflicts(flow=name, inputs=options.inputs, option="INPUTS")
    if is_flow_id(name):
        if options.idempotency_key is not None:
            raise usage("--idempotency-key needs the flow's file, not its ID, because the flow carries the key")
        return Job(options, {}, flow_id=name, about=dict(options.about), reuse=options.reuse)
    about = options.about if name == "-" else {**options.about, "flow_file": name}
    text = read_mapping_flow_text(name) if options.check else None
    flow = load_flow_argument(name) if text is None else dict(text.copy_without_positions.root.value)
    job = Job(options, flow, about=dict(about), reuse=options.reuse)
    read_job_arguments(job, text)
    return job


def read_job_arguments(job: Job, text: FlowText | None = None) -> None:
    """Read and check the input, overrides and variables of a job whose flow is known.

    Args:
        job: The job to complete.
        text: The flow's text. If passed, the flow is checked.

    Raises:
        Problem, FlowFileError: If one of the arguments is invalid.
    """
    options, values, reuse = job.options, job.options.values, job.reuse
    job.overrides = values.read_overrides(job.flow)
    job.variables = values.read_variables(job.flow)
    whole_flow, all_overrides, variables = job.flow, job.overrides, job.variables_with_environment
    if options.up_to is not None:
        job.flow, merged = cut_flow_to_step(job.flow, options.up_to, job.overrides)
        job.flow_id, job.overrides = None, None if merged is None else [merged]
    if text is not None:
        part: Mapping[str, Any] = job.flow
        if reuse.only_step is not None:
            part = cut_flow_to_step(job.flow, reuse.only_step, job.overrides)[0]
        is_part = options.up_to is not None or reuse.only_step is not None
        changed = {step for override in all_overrides or () for step in override}
        check_before_run(text, options.flow, part, changed=changed, is_part=is_part)
    advice = "use --no-check to run it anyway"
    # Be lenient with a variables file, because several flows may share it.
    strict = options.check and bool(values.single_variables) and not values.variables
    check_variables(whole_flow, variables, all_overrides, check_values=options.check, is_strict=strict, advice=advice)
    if options.inputs is not None:
        if not (options.detach or options.dry_run):
            return
        job.batch = read_batch_inputs(options.inputs, options.input_format, job.flow)
    elif any(reuse):
        given = values.read_explicit_or_piped_input(job.flow)
        job.has_input, job.input = given is not None, given and given[0]
    else:
        job.input = values.read_input(job.flow)
    if reuse.only_step is not None and job.has_input:
        # Reduce the flow to the single step, which gets the job's input.
        step = reuse.only_step
        if reuse.run is not None:
            raise usage("--step takes its input from the --reuse run or from an option: use only one of them")
        overrides = unify_overrides(job.overrides) or {}
        if "input" in (overrides.get(step) or {}).get("value", {}):
            raise usage(f"the input of step {step} is passed as a whole, so an override of it would have no effect")
        job.flow = flow_of_step(job.flow_with_overrides, step)
        job.flow_id = job.overrides = job.variables = None
        job.reuse = ReuseOptions()
        # This run only executes one step, so don't record the flow's file. Otherwise, `--reuse @last` would find this
        # run.
        job.about.pop("flow_file", None)
    if options.check and job.has_input:
        inputs = [job.input] if job.batch is None else job.batch
        file = options.inputs or next((argument.text for argument in values.input if argument.form == "file"), None)
        if isinstance(job.input, list):
            advice = f"to run a flow once per input of a list, use 'stepflow batch FLOW INPUTS'; {advice}"
        check_inputs(job.flow, inputs, advice=advice, file=None if file == "-" else file)
