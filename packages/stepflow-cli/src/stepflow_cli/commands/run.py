"""`stepflow run`."""

from __future__ import annotations

import json

import click

from ..connect import connect
from ..exit_codes import ExitCode
from ..inputs import read_value

__all__ = ["command"]


@click.command("run")
@click.argument("flow", required=False, metavar="FLOW")
@click.option("--flow", "flow_option", metavar="FILE", help="The flow, instead of FLOW.")
@click.option("--input", "input_file", metavar="FILE", help="The input: a YAML or JSON file, - for standard input.")
@click.option("--input-json", metavar="JSON", help="The input as JSON.")
@click.option("--input-yaml", metavar="YAML", help="The input as YAML.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the run to end.")
@click.option("--url", envvar="STEPFLOW_URL", metavar="URL", help="The server. [env: STEPFLOW_URL; default: embedded]")
@click.option("--config", metavar="FILE", help="Configuration of the embedded server. [default: builtins only]")
def command(
    flow: str | None,
    flow_option: str | None,
    input_file: str | None,
    input_json: str | None,
    input_yaml: str | None,
    timeout: float | None,
    url: str | None,
    config: str | None,
) -> int:
    """Run the flow in the file FLOW and print its output as JSON.

    The input is null unless one is given.
    """
    if (flow is None) == (flow_option is None):
        raise click.UsageError("give one flow file, as FLOW or with --flow")
    from stepflow_client.flow_file import load_flow

    content = load_flow(flow or flow_option or "")
    value = read_value("input", input_file, input_json, input_yaml)
    with connect(url, config) as client:
        # One input that is a list would be a batch.
        result = client.run(content, [value] if isinstance(value, list) else value, timeout=timeout)
    if result.is_success:
        click.echo(json.dumps(result.output, ensure_ascii=False, indent=2))
    elif result.error is not None:
        where = f" at step {result.error.step_id!r}" if result.error.step_id else ""
        click.echo(f"stepflow: run {result.run_id} failed{where}: {result.error.message}", err=True)
    else:
        click.echo(f"stepflow: run {result.run_id} is {result.status.value}", err=True)
    return ExitCode.for_result(result)
