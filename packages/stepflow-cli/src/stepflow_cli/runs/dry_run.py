"""Dry runs, in which the server validates a flow but doesn't store or run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepflow_client._data.flow_declarations import get_declared_defs, get_declared_schema, is_secret

from ..errors import current_session
from ..output.messages import note, show_spinner
from ..output.record_views import View, columns
from ..records.diagnostics import FlowProblem, diagnostic_records, flow_label, format_counts, note_diagnostics
from ..server.connect import Target
from .caching import JobCache
from .job_from_options import Job
from .reuse_step_outputs import plan_reuse, print_rerun_plan
from .single_run import fetch_missing_job_parts

_MASK = "***"

_REQUEST = View(columns("server", "flow", "input", "inputs", "variables", "overrides", "max_concurrency"), name="flow")


def print_dry_run(target: Target, job: Job, cache: JobCache | None = None) -> None:
    """Validate a job's flow and print what would be sent, masking any values that the flow's schemas mark as secret.

    Args:
        target: The server that validates the flow.
        job: The job that would run.
        cache: The cache to look in. The output says whether it contains a result.

    Raises:
        Problem: If the server would reject the flow, or if the run is likely to fail.
    """
    name, output = job.options.flow, job.options.output
    with show_spinner("validating"):
        fetch_missing_job_parts(target, job)
        diagnostics = diagnostic_records(name, target.client.validate(job.flow).diagnostics)
        plan = plan_reuse(target, job) if any(job.reuse) else None
    if any(record["level"] in ("fatal", "error") for record in diagnostics):
        raise FlowProblem(f"{flow_label(name)} is invalid: {format_counts(diagnostics)}", diagnostics)
    session = current_session()
    if diagnostics and not (session.json_errors or session.quiet):
        note_diagnostics(diagnostics)
    if plan is not None:
        print_rerun_plan(plan, output)
    else:
        from stepflow_client._data.secrets import find_variable_secrets
        from stepflow_client.drawing.report_data import read_variables_and_env_values

        declared, environment = read_variables_and_env_values(job.flow)
        input, variables = (
            _mask_schema_secrets(value, get_declared_schema(job.flow, part), get_declared_defs(job.flow, part))
            for part, value in (("input", job.input), ("variables", job.variables))
        )
        # Inputs and overrides may also contain the values of secret variables.
        hide = find_variable_secrets({**environment, **(job.variables or {})}, declared).hide_in
        request = {
            "server": "embedded" if target.runtime is not None else target.client.url,
            "flow": job.flow_id or job.options.flow,
            "input": hide(input) if job.batch is None else None,
            "inputs": None if job.batch is None else len(job.batch),
            "variables": hide(variables),
            "variables_from_env": job.options.values.variables_from_env,
            "overrides": hide(job.overrides),
            "max_concurrency": job.options.max_concurrency,
        }
        if cache is not None:
            cached = cache.find_result(job)
            request["cache"] = {"hit": cached is not None, "run_id": None if cached is None else cached.run_id}
        output.print_record(request, _REQUEST, default="yaml")
    note("nothing was stored or run (--dry-run)")


def _mask_schema_secrets(value: Any, schema: Any, defs: Mapping[str, Any]) -> Any:
    if not isinstance(schema, Mapping) or value is None:
        return value
    if is_secret(schema, defs):
        return _MASK
    if isinstance(value, list):
        return [_mask_schema_secrets(element, schema.get("items"), defs) for element in value]
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or not isinstance(properties, Mapping):
        return value
    return {name: _mask_schema_secrets(each, properties.get(name), defs) for name, each in value.items()}
