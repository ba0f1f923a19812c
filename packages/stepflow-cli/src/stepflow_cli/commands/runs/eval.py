"""`stepflow runs eval`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ...errors import Problem, nearest, usage
from ...output.columns import json_cell
from ...output.view import Column, Output, View, columns
from ...params.options import file_output_options, running_server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...params.sections import option
from ...runs.find import connect_to_run
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client._command import ItemCauses

_NOT_RUN = 9
"""The code of the failure to read a step that was not executed."""

_VALUE = View((*columns("run_id:id", "index:number"), Column("value", show=json_cell)))


@click.command("eval", cls=Command)
@run_argument
@click.argument("expression", metavar="EXPRESSION")
@option("--item N", "The item, counted from 0. [default: 0]", type=click.IntRange(min=0))
@running_server_options
@file_output_options
def command(run_id: str, expression: str, item: int | None, server: ServerOptions, output: Output) -> None:
    """EXPRESSION is what a flow may contain, as YAML or JSON: '{$step: a, path: $.x}'. Its value is computed from the
    outputs of the run's steps, and from the input and the variables of the run as far as the history or the server has
    them. Nothing is run.

    The value is printed as JSON; with -o a record that contains it.
    """
    parsed = _parsed(expression)
    with connect_to_run(server, run_id) as (target, run_id):
        known = _known(target.client, run_id, item or 0)
        _check_steps(parsed, known)
        with _explained(known):
            value = known.evaluation.value(parsed)
    if output.format:
        output.record({"run_id": run_id, "index": item or 0, "value": value}, _VALUE, default="json")
    else:
        output.value(value)


def _parsed(expression: str) -> Any:
    from stepflow_client.flows.file import parse_yaml

    parsed = parse_yaml(expression, "the expression")
    if isinstance(parsed, str) and parsed.startswith("$"):
        raise usage(
            f"{parsed} is text, not an expression", f"write '{{$input: {parsed}}}' or '{{$step: ID, path: ...}}'"
        )
    return parsed


def _known(client: SyncStepflowClient, run_id: str, index: int) -> ItemCauses:
    """Return what is known of an item, for the evaluation of expressions."""
    from stepflow_client._base.text import no_item
    from stepflow_client._command import ItemCauses
    from stepflow_client._rules.releases import require
    from stepflow_client._runs.explanation import records_of

    require(client.server_info(), "step_outputs", "the outputs of steps")
    run = client.snapshot(run_id, include=("items", "steps", "flow", "arguments"), item_index=index)
    items = run.items or ()
    if index >= len(items):
        raise usage(no_item(run_id, index, len(items)))
    return ItemCauses(records_of(run, [items[index]], is_masked=True)[index])


def _check_steps(expression: Any, known: ItemCauses) -> None:
    from stepflow_client.flows.expressions import references

    for each in references(expression):
        if each.step is not None and each.step not in known.definitions:
            steps = ", ".join(known.definitions) or "none"
            raise usage(
                f"the flow of the run has no step {each.step}",
                nearest(each.step, known.definitions) or f"its steps are {steps}",
            )


@contextmanager
def _explained(known: ItemCauses) -> Iterator[None]:
    """Convert what the evaluation raises to problems."""
    from stepflow_client.flows.interpreter import BROKEN, Failure, NotKnownError

    try:
        yield
    except Failure as failure:
        listed = known.listed.get(failure.step or "")
        error = f": {listed.error.message}" if listed is not None and listed.error is not None else ""
        message = f"{failure.message}{error}" if failure.step is not None else failure.message
        if failure.code == _NOT_RUN:
            message = f"{message}: the run did not need it"
        raise Problem(f"the expression fails: {message}", kind="expression") from None
    except NotKnownError as error:
        hint = "the history has what 'stepflow run' and clients with history=True started"
        is_step = str(error).startswith("step ")
        raise Problem(
            f"the value depends on {error}, which {'has not ended' if is_step else 'is not known'}",
            kind="expression",
            hint=None if is_step else hint,
        ) from None
    except BROKEN as error:
        raise usage(f"the expression cannot be evaluated: {' '.join(str(error).split())}") from None
