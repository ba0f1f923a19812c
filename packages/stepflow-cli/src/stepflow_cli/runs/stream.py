"""Running a batch: its inputs are read and its records written as it runs, with a journal beside the output file."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowFileError, InvalidArgumentError, RunTimeoutError, TransportError, write_outcomes
from stepflow_client._command import Journal, output_format_of, read_outcomes
from stepflow_client._stores.user_files import replacing

from ..errors import Problem, problem_of, usage
from ..exit_codes import ExitCode
from ..inputs.batch import IndexedInput, chosen_again, part_of, read_inputs, sample_of, without_option
from ..inputs.files import writing
from ..inputs.values import note_unread_fields
from ..output.messages import note, waiting
from ..output.view import FORMATS, Output
from ..records.results import BATCH_RESULT
from ..server.connect import Target
from .batch_progress import BatchProgress
from .execute import Job, completed, name_run
from .job import JobOptions
from .wait import Wait

if TYPE_CHECKING:
    from stepflow_client import InputStream
    from stepflow_client._command import OutcomeFormat

_ONE_RUN = 400
"""Maximum number of inputs that are sent as one run, if their records are printed."""


@dataclass(frozen=True)
class Stream:
    """Which inputs a batch reads, and how it writes their records."""

    inputs: str
    output: Output
    form: OutcomeFormat | None
    """The format of the records in a file, or of CSV; None if `output` prints them."""
    input_format: str | None
    resume: bool
    retry_failed: bool
    limit: int | None
    skip: int
    sample: int | None
    seed: int | None
    on_bad_line: str | None

    @property
    def stops(self) -> bool:
        """Whether a malformed line ends the batch: by default, if no file tells its record from the others."""
        return self.on_bad_line == "stop" or (self.on_bad_line is None and self.file is None)

    @property
    def file(self) -> str | None:
        """The file of the records; None for standard output."""
        return None if self.output.path == "-" else self.output.path

    @property
    def written(self) -> tuple[str, OutcomeFormat]:
        """The file of the records and its format."""
        assert self.file is not None
        assert self.form is not None
        return self.file, self.form

    @property
    def journal(self) -> str | None:
        """The journal's file; None if the records go to standard output."""
        return None if self.file is None else f"{self.file}.journal"

    def check(self) -> None:
        """Check that the inputs can be read, and that existing files are not overwritten.

        Raises:
            Problem: If the output exists and is not to be resumed, or cannot be resumed.
            FlowFileError: If the inputs cannot be read.
        """
        if os.path.isfile(os.path.realpath(self.inputs)) or (not os.path.lexists(self.inputs) and self.inputs != "-"):
            with read_inputs(self.inputs, self.input_format, stops=False) as inputs:
                next(inputs, None)
        if self.file is None or self.journal is None:
            return
        is_there, has_journal = os.path.exists(self.file), os.path.exists(self.journal)
        if self.retry_failed:
            if not is_there:
                raise usage(f"{self.file} does not exist", "--retry-failed runs the failed inputs of such a file again")
        elif self.resume and is_there and not has_journal:
            raise usage(f"cannot resume {self.file}: its journal {self.journal} is missing")
        elif not self.resume and (is_there or has_journal):
            found = self.file if is_there else self.journal
            raise usage(
                f"{found} already exists",
                "--resume continues the batch, --retry-failed runs its failed inputs again; for a new batch, remove "
                "the file and its journal",
            )


def stream_of(options: JobOptions, output: Output) -> Stream:
    """Return which inputs a batch reads, and how it writes their records.

    Raises:
        Problem: If the format does not fit, or the output file exists and is not to be continued.
    """
    stream = Stream(options.inputs or "", output, _file_format(output), **options.streaming)
    stream.check()
    return stream


def _file_format(output: Output) -> OutcomeFormat | None:
    path, form = output.path, output.format
    if path in (None, "-"):
        if form == "parquet":
            raise usage("Parquet needs --output FILE")
        return "csv" if form == "csv" else None
    if form in FORMATS and form not in ("json", "jsonl", "yaml"):
        raise usage(f"-o {form} is printed, not written to a file", "a file is jsonl, csv, json, yaml or parquet")
    try:
        return output_format_of(path or "", form)
    except (FlowFileError, InvalidArgumentError) as error:
        raise usage(
            error.message, error.hint if form else "name the format: -o jsonl, csv, json, yaml or parquet"
        ) from None


def run_stream(target: Target, job: Job, stream: Stream, wait: Wait) -> None:
    """Run a batch and write a record for each input as it ends.

    Raises:
        Problem: If not all inputs succeeded, or the batch is interrupted.
    """
    if stream.retry_failed:
        _retry(target, job, stream, wait)
        return
    job = completed(target, job)
    run = _Run(target, job, stream, wait, stream.journal)
    chosen = chosen_inputs(run.inputs(), stream)
    with run.continued_by("--resume" if stream.journal else None):
        if stream.form is None:
            # A single run, which has one id, and whose records are in the order of the inputs.
            first = list(islice(chosen, _ONE_RUN + 1))
            # More than it has: the client then sees that there is no other run, which would share --max-concurrency.
            size = _ONE_RUN + 1 if len(first) <= _ONE_RUN else None
            with closing(run.records(chain(first, chosen), chunk_size=size, ordered=True)) as records:
                printed = _one_of_each_run(records) if stream.output.format == "name" else records
                stream.output.records(printed, BATCH_RESULT, default="jsonl", flush=True)
            # Errors in writing the last record appear only now.
            sys.stdout.flush()
        else:
            with write_outcomes(stream.file or sys.stdout, flow=job.flow, format=stream.form) as file:
                run.write_all(chosen, file)
    if not run.progress.begun:
        # Nothing has run, and without this, nothing says so.
        note(f"no inputs in {'standard input' if stream.inputs == '-' else stream.inputs}")
    run.progress.summarise(is_brief=stream.file is None)


def chosen_inputs(inputs: Iterable[IndexedInput], stream: Stream) -> Iterator[IndexedInput]:
    """Return the inputs that --skip, --limit and --sample choose."""
    chosen = part_of(inputs, stream.skip, stream.limit)
    return chosen if stream.sample is None else sample_of(chosen, stream.sample, stream.seed or 0)


def _one_of_each_run(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the first record of each run."""
    seen = {None}
    for record in records:
        if record["run_id"] not in seen:
            seen.add(record["run_id"])
            yield record


def _retry(target: Target, job: Job, stream: Stream, wait: Wait) -> None:
    """Run the failed inputs of an output again and replace their records. The output changes once all have ended."""
    _check_ended(stream)
    output, form = stream.written
    failed = {
        record["index"]: (record.get("key"), record["run_id"])
        for record in _earlier(stream)
        if record["status"] != "completed"
    }
    if not failed:
        note(f"no input of {output} has failed")
        return
    # The name identifies the inputs: the journal of a different retry must not be used.
    name = hashlib.sha256(repr(sorted(failed.items())).encode()).hexdigest()[:8]
    journal = f"{output}.retry-{name}.journal"
    job = completed(target, job)
    run = _Run(target, job, stream, wait, journal)
    run.progress.expected = len(failed)
    chosen = _unchanged(chosen_again(run.inputs(), failed), failed, stream)
    with run.continued_by("--retry-failed"):
        with writing(output), replacing(output) as merged:
            with write_outcomes(merged, flow=job.flow, format=form) as file:
                for record in _earlier(stream):
                    if record["index"] not in failed:
                        file.write(record)
                run.write_all(chosen, file)
            # It holds the earlier outcomes: resuming from it would bring them back.
            _remove(f"{output}.journal")
        _remove(journal)
    run.progress.summarise()


def _earlier(stream: Stream) -> Iterator[dict[str, Any]]:
    """Yield the records of an earlier run of the batch."""
    try:
        yield from read_outcomes(*stream.written)
    except FlowFileError as error:
        raise usage(error.message, "--resume writes it anew") from None


def _check_ended(stream: Stream) -> None:
    """Raise if the batch was interrupted: a retry would leave its remaining inputs out of the output."""
    if stream.journal is None or not os.path.exists(stream.journal):
        return
    with closing(Journal(stream.journal)) as journal:
        if not journal.has_ended():
            raise usage(f"the batch of {stream.file} was interrupted", "continue it with --resume first")


def _unchanged(
    chosen: Iterable[IndexedInput], failed: Mapping[int, tuple[Any, Any]], stream: Stream
) -> Iterator[IndexedInput]:
    """Yield the chosen inputs after checking that their keys are the recorded ones."""
    chosen = iter(chosen)
    while True:
        try:
            position, value = next(chosen)
        except StopIteration:
            return
        except LookupError as error:
            raise usage(f"{stream.inputs} has changed: {error.args[0]}, which has failed") from None
        written = failed[position][0]
        keys = {str(value.get(name)) for name in ("id", "key")} if isinstance(value, dict) else set()
        # CSV and Parquet files hold keys as text; an unreadable line has no key.
        if written is not None and str(written) not in keys:
            raise usage(f"{stream.inputs} has changed: input {position} is not the one with the key {written!r}")
        yield position, value


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(path)


class _Run:
    """A batch in progress."""

    def __init__(self, target: Target, job: Job, stream: Stream, wait: Wait, journal: str | None) -> None:
        self.progress = BatchProgress()
        self._target, self._job, self._stream, self._wait, self._journal = target, job, stream, wait, journal
        self._inputs: InputStream | None = None
        self._positions: dict[int, int] = {}
        """The file positions of the running inputs, by their number in the batch."""

    def inputs(self) -> Iterator[IndexedInput]:
        """Yield all inputs of the file with their positions, as they are needed."""
        stream = self._stream
        try:
            with read_inputs(stream.inputs, stream.input_format, self._job.flow, stops=stream.stops) as self._inputs:
                yield from enumerate(self._inputs)
        except FlowFileError as error:
            raise usage(error.message, without_option(error.hint, "--on-bad-line fail continues")) from None

    def _values(self, chosen: Iterable[IndexedInput]) -> Iterator[Any]:
        for number, (position, value) in enumerate(chosen):
            self._positions[number] = position
            if not number and isinstance(value, dict):
                # Records have the key of an input, which the flow need not read.
                fields = {name: each for name, each in value.items() if name not in ("id", "key")}
                note_unread_fields(self._job.with_overrides, fields)
            self.progress.begun += 1
            yield value

    def write_all(self, chosen: Iterable[IndexedInput], file: Any) -> None:
        """Run the chosen inputs and write a record for each as it ends."""
        with closing(self.records(chosen)) as records:
            for record in records:
                file.write(record)

    def records(
        self, chosen: Iterable[IndexedInput], *, chunk_size: int | None = None, ordered: bool = False
    ) -> Generator[dict[str, Any]]:
        """Run the chosen inputs and yield a record for each as it ends."""
        target, job = self._target, self._job
        outcomes = target.client.map(
            job.flow,
            self._values(chosen),
            chunk_size=chunk_size,
            ordered=ordered,
            check_input=job.check,
            **job.arguments,
            **job.retry.options,
            journal=self._journal,
            # The runs of an embedded server end with it; runs in a persistent store are taken over.
            on_lost="rerun" if target.ends_with_command else "fail",
            on_cancel=self._wait.on_interrupt,
            timeout=self._wait.timeout,
        )
        recording = target.history.recording(flow=job.flow, **job.about)
        with waiting("running the batch") as spinner, recording, closing(outcomes):
            for each in outcomes:
                outcome = replace(each, index=self._positions.pop(each.index))
                yield outcome.to_dict()
                self.progress.note(outcome)
                if self.progress.is_due():
                    self._estimate()
                    self.progress.show(spinner)

    def _estimate(self) -> None:
        stream = self._stream
        if stream.retry_failed:
            return
        expected = None if self._inputs is None else self._inputs.expected
        self.progress.is_estimated = self._inputs is not None and self._inputs.total is None
        if expected is not None:
            expected = max(0, expected - stream.skip)
            expected = min(expected, *(most for most in (stream.limit, stream.sample) if most is not None), expected)
        self.progress.expected = expected

    @contextmanager
    def continued_by(self, option: str | None) -> Iterator[None]:
        """Report how the batch continues if the block ends before the batch does."""
        hint = None if option is None else f"to continue, run the same command with {option}"
        try:
            yield
        except KeyboardInterrupt:
            message = f"interrupted after {self.progress.done} inputs"
            if self._wait.on_interrupt == "detach" and not self._target.ends_with_command and self.progress.begun:
                message += "; runs that have begun continue on the server"
                hint = hint or self._target.return_command("runs watch", "@last")
            raise Problem(message, kind="interrupted", exit_code=ExitCode.INTERRUPTED, hint=hint) from None
        except (RunTimeoutError, TransportError) as error:
            raise problem_of(error, hint=hint) from None
        except Problem as problem:
            if self.progress.run_id is not None:
                name_run(problem, self._target, self.progress.run_id)
            raise
