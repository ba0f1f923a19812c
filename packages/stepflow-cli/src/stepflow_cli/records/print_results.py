"""Prints the results of runs, and the failures of batches grouped by cause."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from stepflow_client import RunFailedError
from stepflow_client._base.text_formatting import format_rfc3339

from ..errors import ExitCode, Problem
from ..output.messages import note
from ..output.printing import Output
from ..output.record_views import View, columns
from .runs import OUTPUT_COLUMN

if TYPE_CHECKING:
    from stepflow_client import FlowResult, Outcome

RESULT = View(columns("run_id:id", "status:status", OUTPUT_COLUMN, "error.message=ERROR"))
"""The result of a run with one input. `cached_at` is present if it came from the cache."""

# The message that servers return if a path with several parts is invalid.
_PATH_NOT_FOUND = re.compile(r"[Pp]ath (\$\.(?:[^\s.\[\]$]+\.)+[^\s.\[\]$]+) not found")

BATCH_RESULT = View(columns("index:number", "status:status", OUTPUT_COLUMN, "error.message=ERROR"))
"""The result of one input in a batch."""


def print_run_result(result: FlowResult, output: Output) -> None:
    """Print only the output of a successful run, or the full result of any run if the user asked for a format.

    Raises:
        Problem: If the run did not succeed.
    """
    if output.format:
        record = result.to_dict()
        if result.cached_at is not None:
            record["cached_at"] = format_rfc3339(result.cached_at)
        output.print_record(record, RESULT, default="json")
    elif result.is_success:
        output.print_value(result.output)
    problem = build_result_problem(result)
    if problem is not None:
        raise problem


def build_cancelled_run_problem(run_id: str) -> Problem:
    """Return the problem for a cancelled run.

    The hint mentions steps, because servers don't stop steps that have started.
    """
    hint = f"steps may still be executing; to see which, run 'stepflow runs get {run_id}'"
    exit_code = ExitCode.CANCELLED
    return Problem(f"run {run_id} is cancelled", kind="run_cancelled", exit_code=exit_code, run_id=run_id, hint=hint)


def build_result_problem(result: FlowResult) -> Problem | None:
    """Return the problem for the result of a run that did not succeed, or None if it did."""
    if result.is_success:
        return None
    if result.is_cancelled:
        return build_cancelled_run_problem(result.run_id)
    try:
        result.raise_for_failure()
    except RunFailedError as error:
        hint = None
        # Servers treat a path that doesn't start with `$` as the name of a single field.
        if match := _PATH_NOT_FOUND.search(error.message):
            path = match[1]
            hint = f"without $, a path is one field name: {path[2:]} is a single key, but {path} is a nested field"
        return Problem(error.message, kind="run_failed", run_id=result.run_id, hint=hint)
    return None


def convert_results_to_outcomes(results: Iterable[FlowResult]) -> list[Outcome]:
    """Convert results to batch outcomes. The outcomes have no keys, because the inputs aren't known."""
    from stepflow_client.types import Outcome

    return [
        Outcome(index, None, result.run_id or None, result.status, result.output, result.error)
        for index, result in enumerate(results)
    ]


def print_batch_results(run_ids: Sequence[str], results: Sequence[Outcome], output: Output) -> None:
    """Print a record for each item in a batch.

    Args:
        run_ids: The IDs of the batch's runs, to be printed by the `name` format.
        results: The outcomes of the items.
        output: Where to print them.

    Raises:
        Problem: If any item did not succeed.
    """
    if output.format == "name":
        output.print_records([{"run_id": name} for name in run_ids], BATCH_RESULT)
    else:
        output.print_records((result.to_dict() for result in results), BATCH_RESULT, default="jsonl")
    failed = [result for result in results if not result.is_success]
    if failed:
        from stepflow_client._command import FailureGroups

        groups = FailureGroups()
        for result in failed:
            groups.add(result.index, result.error, result.status)
        for line in groups.format_group_lines():
            note(line)
        raise failed_batch_problem(len(failed), len(results), {result.run_id for result in failed})


def failed_batch_problem(failed: int, total: int, runs: Collection[str | None], hint: str | None = None) -> Problem:
    """Return the problem for the failed inputs of a batch. If they all belong to one run, the problem includes its ID.

    Args:
        failed: The number of failed inputs.
        total: The number of inputs in the batch.
        runs: The IDs of the runs with failed inputs, plus None if any of these inputs were never sent.
        hint: A hint about the first failure.
    """
    run_id = next(iter(runs)) if len(runs) == 1 else None
    where = "" if run_id is None else f" in run {run_id}"
    return Problem(f"{failed} of {total} inputs did not succeed{where}", kind="run_failed", run_id=run_id, hint=hint)
