"""Runs a batch, reading inputs and writing records as it goes. A journal is kept next to the output file."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepflow_client import (
    FlowFileError,
    InvalidArgumentError,
    JournalError,
    RunTimeoutError,
    TransportError,
    write_outcomes,
)
from stepflow_client._command import FailureGroups, Journal, iter_outcome_records, resolve_output_format
from stepflow_client._rules.run_progress import BatchCount
from stepflow_client._stores.atomic_file_writes import replacing_file

from ..errors import Problem, convert_to_problem, interrupted_problem, usage
from ..inputs.command_line_values import (
    IndexedInput,
    adapt_hint_to_cli,
    note_unread_input_fields,
    open_input_stream,
    sample_inputs,
    select_inputs_at_positions,
    slice_inputs,
)
from ..inputs.file_io import converting_write_errors
from ..output.messages import Spinner, note, show_spinner
from ..output.printing import FORMATS, Output
from ..records.print_results import BATCH_RESULT, failed_batch_problem
from ..records.runs import duration_text
from ..server.connect import Target
from .job_from_options import Job
from .single_run import add_run_id_to_problem, fetch_missing_job_parts

if TYPE_CHECKING:
    from stepflow_client import InputStream, Outcome
    from stepflow_client._command import OutcomeFormat

# Number of seconds between progress updates.
_REFRESH_SECONDS = 0.2


class LatencyCounts(Counter[float]):
    """Counts inputs by the latency of their run in seconds.

    Inputs of the same run share a key, so there are few keys.
    """

    def percentile(self, share: float) -> float | None:
        """Return the latency within which this share of the inputs finished, or None if no inputs were counted."""
        left = share * self.total()
        for seconds, count in sorted(self.items()):
            left -= count
            if left <= 0:
                return seconds
        return None


class BatchProgress(BatchCount):
    """The progress and failures of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self._failures = FailureGroups()
        self._hint: str | None = None
        self._runs: set[str | None] = set()
        self._failed_runs: set[str | None] = set()
        """The subset of `_runs` with failed inputs. None stands for inputs that were never sent."""
        self._latencies = LatencyCounts()
        self._shown_at = time.monotonic()

    def add_outcome(self, outcome: Outcome) -> None:
        """Count an outcome."""
        super().add_outcome(outcome)
        self._runs.add(outcome.run_id)
        if outcome.duration is not None:
            self._latencies[outcome.duration] += 1
        if outcome.is_success:
            return
        if self._hint is None and outcome.error is not None and outcome.error.hint is not None:
            self._hint = f"item {outcome.index}: {outcome.error.hint}"
        self._failed_runs.add(outcome.run_id)
        self._failures.add(outcome.index, outcome.error, outcome.status)

    @property
    def single_run_id(self) -> str | None:
        """The run's ID if the whole batch is a single run, otherwise None."""
        return next(iter(self._runs)) if len(self._runs) == 1 else None

    def mark_shown_if_due(self) -> bool:
        """Return whether it is time to show the progress again."""
        now = time.monotonic()
        if now - self._shown_at <= _REFRESH_SECONDS:
            return False
        self._shown_at = now
        return True

    def update_spinner(self, spinner: Spinner) -> None:
        """Show the progress in a spinner."""
        running = self.begun - self.done
        spinner.update(str(self.make_progress()) + (f", {running:,} running" if running > 0 else ""))

    def print_summary(self, *, is_brief: bool = False) -> None:
        """Print a summary that lists the most frequent failures first.

        Args:
            is_brief: Whether to leave out counts and latencies.

        Raises:
            Problem: If any input did not succeed.
        """
        indent = "" if is_brief else "  "
        if not is_brief:
            rate = f"{self.done / self.seconds:.0f}/s"
            note(f"{self.done} inputs done, {self.failed} failed, {rate}, {duration_text(self.seconds)}")
            if self._latencies:
                # The latency of an individual input isn't known, so use the latency of its run.
                percentiles = {percent: self._latencies.percentile(percent / 100) for percent in (50, 95, 99)}
                shown = (f"p{percent} {duration_text(seconds)}" for percent, seconds in percentiles.items())
                note(f"  latency of runs: {', '.join(shown)}")
        for line in self._failures.format_group_lines():
            note(f"{indent}{line}")
        if self.failed:
            raise failed_batch_problem(self.failed, self.done, self._failed_runs, self._hint)


# When records are printed, a batch of up to this many inputs is sent as one run.
_MAX_SINGLE_RUN_INPUTS = 400


class BatchRun:
    """A batch that reads each input only when it is needed.

    Raises:
        Problem: If the format isn't supported here, or if the output file already exists and the batch isn't being
            continued.
        FlowFileError: If the inputs can't be read.
    """

    def __init__(self, job: Job) -> None:
        self.progress = BatchProgress()
        self._job, self._options = job, job.options
        self._inputs: InputStream | None = None
        self._positions: dict[int, int] = {}
        """File positions of the inputs in progress, keyed by their number in the batch."""
        output = job.options.output
        self._format: OutcomeFormat | None = _choose_record_format(output)
        """The format of the records in a file or in CSV, or None if `output` prints the records."""
        self._path = "" if output.path in (None, "-") else str(output.path)
        """The output file, or "" for standard output."""
        self._journal = f"{self._path}.journal" if self._path else None
        options, source = job.options, job.options.inputs or ""
        self._source = source
        # Fail now if the inputs can't be read or existing files would be overwritten.
        if os.path.isfile(os.path.realpath(source)) or (not os.path.lexists(source) and source != "-"):
            with open_input_stream(source, options.input_format, stops=False) as inputs:
                next(inputs, None)
        if self._journal is None:
            return
        has_output, has_journal = os.path.exists(self._path), os.path.exists(self._journal)
        if options.retry_failed:
            if not has_output:
                raise usage(f"{self._path} does not exist", "use --retry-failed with the output of an earlier batch")
        elif options.resume and has_output and not has_journal:
            hint = "use --retry-failed to rerun the failed inputs, or for a new batch, remove the file"
            raise usage(f"cannot resume {self._path}: its journal {self._journal} is missing", hint)
        elif not options.resume and (has_output or has_journal):
            raise usage(
                f"{self._path if has_output else self._journal} already exists",
                "use --resume to continue the batch, or --retry-failed to rerun its failed inputs; for a new batch, "
                "remove the file and its journal",
            )

    def run(self, target: Target) -> None:
        """Run the batch, writing a record for each input as it ends.

        Raises:
            Problem: If any input did not succeed, or the batch is interrupted.
        """
        if self._options.retry_failed:
            self._retry_failed_inputs(target)
            return
        fetch_missing_job_parts(target, self._job)
        options = self._options
        chosen = slice_inputs(self._iter_inputs(), options.skip, options.limit)
        if options.sample is not None:
            chosen = sample_inputs(chosen, options.sample, options.seed or 0)
        with self._hinting_continuation(target, "--resume" if self._journal else None):
            if self._format is None:
                # Send a small batch as a single run, so that there is just one ID and records are in the order of the
                # inputs.
                first = list(islice(chosen, _MAX_SINGLE_RUN_INPUTS + 1))
                # If the chunk size is larger than the batch, the client knows that no other run shares
                # --max-concurrency.
                size = _MAX_SINGLE_RUN_INPUTS + 1 if len(first) <= _MAX_SINGLE_RUN_INPUTS else None
                records = self._run_inputs_yielding_records(
                    target, chain(first, chosen), self._journal, chunk_size=size, ordered=True
                )
                with closing(records):
                    printed = _iter_first_per_run(records) if options.output.format == "name" else records
                    options.output.print_records(printed, BATCH_RESULT, default="jsonl", flush=True)
                # Flush now, so that an error while writing the last record is reported.
                sys.stdout.flush()
            else:
                with closing(self._run_inputs_yielding_records(target, chosen, self._journal)) as records:
                    # If the journal belongs to another batch, keep the output that --resume would replace.
                    head = list(islice(records, 1 if options.resume else 0))
                    with write_outcomes(self._path or sys.stdout, flow=self._job.flow, format=self._format) as file:
                        for record in chain(head, records):
                            file.write(record)
        if not self.progress.begun:
            note(f"no inputs in {'standard input' if self._source == '-' else self._source}")
        self.progress.print_summary(is_brief=not self._path)

    def _retry_failed_inputs(self, target: Target) -> None:
        """Rerun the failed inputs. The output file isn't replaced until all of them have ended."""
        output, form = self._path, self._format
        assert form is not None
        if self._journal is not None and os.path.exists(self._journal):
            with closing(Journal(self._journal)) as written:
                if not written.has_batch_ended():
                    # A retry would drop the inputs that haven't run yet from the output.
                    raise usage(f"the batch of {output} was interrupted", "continue it with --resume first")
        records = (record for record in _read_written_records(output, form) if record["status"] != "completed")
        failed = {record["index"]: (record.get("key"), record["run_id"]) for record in records}
        if not failed:
            note(f"no input of {output} has failed")
            return
        # Include a hash of the inputs in the journal's name, so that a retry of other inputs doesn't reuse it.
        name = hashlib.sha256(repr(sorted(failed.items())).encode()).hexdigest()[:8]
        journal = f"{output}.retry-{name}.journal"
        fetch_missing_job_parts(target, self._job)
        self.progress.expected = len(failed)
        chosen = self._iter_failed_inputs(failed)
        with self._hinting_continuation(target, "--retry-failed"):
            with converting_write_errors(output), replacing_file(output) as merged:
                with write_outcomes(merged, flow=self._job.flow, format=form) as file:
                    for record in _read_written_records(output, form):
                        if record["index"] not in failed:
                            file.write(record)
                    self._write_records(target, chosen, journal, file)
                # Delete the old journal, because resuming from it would bring back the earlier outcomes.
                Path(f"{output}.journal").unlink(missing_ok=True)
            Path(journal).unlink(missing_ok=True)
        self.progress.print_summary()

    def _iter_failed_inputs(self, failed: Mapping[int, tuple[Any, Any]]) -> Iterator[IndexedInput]:
        """Yield the failed inputs. Their keys must match the recorded keys, because the file may have changed since."""
        try:
            for position, value in select_inputs_at_positions(self._iter_inputs(), failed):
                key = failed[position][0]
                keys = {str(value.get(name)) for name in ("id", "key")} if isinstance(value, dict) else set()
                # Keys from CSV and Parquet files are text, and the record of an unreadable line has no key.
                if key is not None and str(key) not in keys:
                    raise usage(f"{self._source} has changed: input {position} is no longer the one with key {key!r}")
                yield position, value
        except LookupError as error:
            raise usage(f"{self._source} has changed: {error.args[0]}, which has failed") from None

    def _iter_inputs(self) -> Iterator[IndexedInput]:
        """Yield the inputs, reading each one only when it is needed. The file may be larger than memory, or a pipe."""
        options = self._options
        # By default, a malformed line becomes a failed record if there is an output file. Otherwise, it stops the
        # batch.
        stops = options.on_bad_line == "stop" or (options.on_bad_line is None and not self._path)
        try:
            with open_input_stream(self._source, options.input_format, self._job.flow, stops=stops) as self._inputs:
                yield from enumerate(self._inputs)
        except FlowFileError as error:
            raise usage(
                error.message, adapt_hint_to_cli(error.hint, "to continue anyway, use --on-bad-line fail")
            ) from None

    def _iter_tracked_inputs(self, chosen: Iterable[IndexedInput]) -> Iterator[Any]:
        for number, (position, value) in enumerate(chosen):
            self._positions[number] = position
            if not number and isinstance(value, dict):
                # Ignore the input's key. It is copied to the record, so it is useful even if the flow doesn't read it.
                fields = {name: field for name, field in value.items() if name not in ("id", "key")}
                note_unread_input_fields(self._job.flow_with_overrides, fields)
            self.progress.begun += 1
            yield value

    def _write_records(self, target: Target, chosen: Iterable[IndexedInput], journal: str | None, file: Any) -> None:
        with closing(self._run_inputs_yielding_records(target, chosen, journal)) as records:
            for record in records:
                file.write(record)

    def _run_inputs_yielding_records(
        self,
        target: Target,
        chosen: Iterable[IndexedInput],
        journal: str | None,
        *,
        chunk_size: int | None = None,
        ordered: bool = False,
    ) -> Generator[dict[str, Any]]:
        """Run the chosen inputs, yielding a record for each as it ends."""
        job, options = self._job, self._options
        outcomes = target.client.map(
            job.flow,
            self._iter_tracked_inputs(chosen),
            chunk_size=chunk_size,
            ordered=ordered,
            check_input=options.check,
            **job.start_arguments,
            **options.retry.arguments_for_map,
            journal=journal,
            # Rerun inputs that were lost with an embedded server. (Runs in a persistent store aren't lost.)
            on_lost="rerun" if target.ends_with_command else "fail",
            on_cancel=options.wait.on_interrupt,
            timeout=options.wait.timeout,
        )
        recording = target.history.recording_runs(flow=job.flow, **job.about)
        with show_spinner("running the batch") as spinner, recording, closing(outcomes):
            for numbered in outcomes:
                outcome = replace(numbered, index=self._positions.pop(numbered.index))
                yield outcome.to_dict()
                self.progress.add_outcome(outcome)
                if self.progress.mark_shown_if_due():
                    self._set_expected_total()
                    self.progress.update_spinner(spinner)

    def _set_expected_total(self) -> None:
        options, inputs = self._options, self._inputs
        if options.retry_failed:
            return
        self.progress.is_estimated = inputs is not None and inputs.total is None
        total = None if inputs is None else inputs.expected
        if total is not None:
            limits = [limit for limit in (options.limit, options.sample) if limit is not None]
            total = min([max(0, total - options.skip), *limits])
        self.progress.expected = total

    @contextmanager
    def _hinting_continuation(self, target: Target, option: str | None) -> Iterator[None]:
        hint = None if option is None else f"to continue, run the same command with {option}"
        try:
            yield
        except KeyboardInterrupt:
            message = f"interrupted after {self.progress.done} inputs"
            if self._options.wait.on_interrupt == "detach" and not target.ends_with_command and self.progress.begun:
                message += "; runs that have begun continue on the server"
                hint = hint or target.build_command_for_run("runs watch", "@last")
            raise interrupted_problem(message, hint) from None
        except (RunTimeoutError, TransportError) as error:
            if isinstance(error, RunTimeoutError) and target.ends_with_command:
                error.message = "timed out waiting for the batch"
                hint = hint or "the embedded server has stopped, and its runs with it"
            raise convert_to_problem(error, hint=hint) from None
        except (FlowFileError, JournalError) as error:
            # If the output or its journal can't be written, for example because the disk is full, the batch can be
            # continued. Other errors have their own hints.
            is_resumable = not error.hint or error.hint.endswith("start it again with this journal")
            raise convert_to_problem(error, hint=hint if is_resumable else None) from None
        except Problem as problem:
            if self.progress.single_run_id is not None:
                add_run_id_to_problem(problem, target, self.progress.single_run_id)
            raise


def _choose_record_format(output: Output) -> OutcomeFormat | None:
    path, form = output.path, output.format
    if path in (None, "-"):
        if form == "parquet":
            raise usage("Parquet needs --output FILE")
        return "csv" if form == "csv" else None
    if form in FORMATS and form not in ("json", "jsonl", "yaml"):
        raise usage(f"-o {form} is printed, not written to a file", "a file must be jsonl, csv, json, yaml or parquet")
    try:
        return resolve_output_format(path or "", form)
    except (FlowFileError, InvalidArgumentError) as error:
        hint = error.hint if form else "name the format: -o jsonl, csv, json, yaml or parquet"
        raise usage(error.message, hint) from None


def _iter_first_per_run(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen = {None}
    for record in records:
        if record["run_id"] not in seen:
            seen.add(record["run_id"])
            yield record


def _read_written_records(path: str, form: OutcomeFormat) -> Iterator[dict[str, Any]]:
    try:
        yield from iter_outcome_records(path, form)
    except FlowFileError as error:
        raise usage(error.message, "--resume rewrites it") from None
