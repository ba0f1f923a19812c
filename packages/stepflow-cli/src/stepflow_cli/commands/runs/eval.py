"""`stepflow runs eval`."""

from __future__ import annotations

import click

from ...errors import Problem, suggest, usage
from ...output.columns import Column, View, columns, format_json_cell
from ...output.view import Output
from ...params.options import file_output_options, option, running_server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...runs.find import connect_to_run
from ...settings.server_choice import ServerOptions

# The code of the failure to read a step that was not executed.
_NOT_RUN = 9

_VALUE = View((*columns("run_id:id", "index:number"), Column("value", show=format_json_cell)))


@click.command("eval", cls=Command)
@run_argument
@click.argument("expression", metavar="EXPRESSION")
@option(
    "--item N",
    "Use the steps and the input of this item, counted from 0. [default: 0]",
    type=click.IntRange(min=0),
    default=0,
)
@running_server_options
@file_output_options
def command(run_id: str, expression: str, item: int, server: ServerOptions, output: Output) -> None:
    """EXPRESSION is what a flow may contain, as YAML or JSON: '{$step: a, path: $.x}'. Its value is computed from the
    outputs of the run's steps, and from the input and the variables of the run as far as the history or the server has
    them. Nothing is run.

    The value is printed as JSON; with -o a record that contains it.
    """
    from stepflow_client._base.text import describe_missing_item
    from stepflow_client._command import ItemCauses
    from stepflow_client._rules.releases import require_capability
    from stepflow_client._runs.explanation import collect_item_records
    from stepflow_client.flows.expressions import references
    from stepflow_client.flows.interpreter import BROKEN, Failure, NotKnownError
    from stepflow_client.flows.reading import parse_yaml

    parsed = parse_yaml(expression, "the expression")
    if isinstance(parsed, str) and parsed.startswith("$"):
        hint = f"write '{{$input: {parsed}}}' or '{{$step: ID, path: ...}}'"
        raise usage(f"{parsed} is text, not an expression", hint)
    with connect_to_run(server, run_id) as (target, run_id):
        require_capability(target.client.server_info(), "step_outputs", "the outputs of steps")
        run = target.client.snapshot(run_id, include=("items", "steps", "flow", "arguments"), item_index=item)
        items = run.items or ()
        if item >= len(items):
            raise usage(describe_missing_item(run_id, item, len(items)))
        causes = ItemCauses(collect_item_records(run, [items[item]], is_masked=True)[item])
        for reference in references(parsed):
            if reference.step is not None and reference.step not in causes.definitions:
                steps = ", ".join(causes.definitions) or "none"
                hint = suggest(reference.step, causes.definitions) or f"its steps are {steps}"
                raise usage(f"the flow of the run has no step {reference.step}", hint)
        try:
            value = causes.evaluation.value(parsed)
        except Failure as failure:
            message = failure.message
            if failure.step is not None and (step := causes.listed.get(failure.step)) is not None and step.error:
                message = f"{message}: {step.error.message}"
            if failure.code == _NOT_RUN:
                message = f"{message}: the run did not need it"
            raise Problem(f"the expression fails: {message}", kind="expression") from None
        except NotKnownError as error:
            if str(error).startswith("step "):
                raise Problem(f"the value depends on {error}, which has not ended", kind="expression") from None
            hint = "the history has what 'stepflow run' and clients with history=True started"
            raise Problem(f"the value depends on {error}, which is not known", kind="expression", hint=hint) from None
        except BROKEN as error:
            raise usage(f"the expression cannot be evaluated: {' '.join(str(error).split())}") from None
    if output.format:
        output.record({"run_id": run_id, "index": item, "value": value}, _VALUE, default="json")
    else:
        output.value(value)
