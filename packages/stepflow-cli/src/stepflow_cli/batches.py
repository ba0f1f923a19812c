"""Running a flow on many inputs as one batch: reading them, and printing a record for each, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .connect import Target
from .exit_codes import ExitCode
from .options import Wait
from .output import Column, Output, View
from .problems import Problem, usage
from .running import Job, start, wait_for
from .values import read_stdin

if TYPE_CHECKING:
    from stepflow_client import FlowResult

__all__ = ["print_results", "read_inputs", "run_batch"]

_ITEMS = View(
    columns=(
        Column("index", kind="number"),
        Column("status", kind="status"),
        Column("output"),
        Column("error.message", title="ERROR"),
    ),
    fields=("error", "error.code", "error.step_id", "error.details"),
)


def read_inputs(path: str, stdin_format: str | None = None) -> list[Any]:
    """Give the inputs in a file: the lines of a `.jsonl`, else the elements of the list in a YAML or JSON file.

    Lines that are empty, or hold only spaces, are no inputs and are not counted.

    Args:
        path: The file; `-` is standard input, and holds lines of JSON unless `stdin_format` says yaml.
        stdin_format: json or yaml.

    Raises:
        Problem, FlowFileError: If it cannot be read; for a line, with its number.
    """
    from stepflow_client.flow_file import load_file, parse_yaml

    if path == "-":
        text = read_stdin()
        value = parse_yaml(text, "standard input") if stdin_format == "yaml" else _lines(text, "standard input")
    elif path.lower().endswith((".jsonl", ".ndjson")):
        value = _lines(_text_of(path), path)
    else:
        value = load_file(path)
    if not isinstance(value, list):
        raise usage(f"{path} is not a list of inputs", "a file of lines of JSON ends in .jsonl")
    return value


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise usage(f"{path} does not exist") from None
    except IsADirectoryError:
        raise usage(f"{path} is a directory, not a file") from None
    except UnicodeDecodeError as error:
        raise usage(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None


def _lines(text: str, source: str) -> list[Any]:
    from stepflow_client import FlowFileError
    from stepflow_client.flow_file import parse_json

    values = []
    # Only a line feed ends a line: JSON text may hold other separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(parse_json(line, f"{source}, line {number},"))
            except FlowFileError as error:
                # For the reader of the line alone, it is the first.
                raise usage(error.message.replace("(line 1, column", "(column")) from None
    return values


def run_batch(
    target: Target, job: Job, inputs: list[Any], wait: Wait, output: Output, *, max_concurrency: int | None = None
) -> None:
    """Run a job on all inputs and print a record for each, in their order.

    Raises:
        Problem: If not all of them succeed.
    """
    if not inputs:
        output.records([], _ITEMS, default="jsonl")
        return
    run_id = start(target, job, inputs, max_concurrency=max_concurrency)
    text = f"running {len(inputs)} inputs"
    results = wait_for(target, run_id, wait, lambda: target.client.get_results(run_id, timeout=wait.timeout), text=text)
    print_results(run_id, results, output)


def print_results(run_id: str, results: list[FlowResult], output: Output) -> None:
    """Print a record for each item of a batch.

    Raises:
        Problem: If not all of them succeeded.
    """
    if output.format == "name":
        output.record({"run_id": run_id}, _ITEMS)
    else:
        output.records(_records(results), _ITEMS, default="jsonl")
    failed = sum(not result.is_success for result in results)
    if failed:
        message = f"{failed} of {len(results)} inputs of run {run_id} did not succeed"
        raise Problem(message, kind="run_failed", exit_code=ExitCode.FAILED, run_id=run_id)


def _records(results: list[FlowResult]) -> Iterator[dict[str, Any]]:
    for index, result in enumerate(results):
        record = {"index": index, "status": result.status.value}
        if result.is_success:
            yield record | {"output": result.output}
        else:
            yield record | {"error": None if result.error is None else result.error.model_dump(mode="json")}
