"""Running a batch whose inputs and records are streamed, with a journal beside the output."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowFileError, InvalidArgumentError, TransportError, write_outcomes
from stepflow_client._command import Journal, output_format_of, read_outcomes
from stepflow_client._stores.user_files import replacing

from ..errors import Problem, problem_of, usage
from ..exit_codes import ExitCode
from ..inputs.batch import Placed, chosen_again, part_of, read_inputs, sample_of, without_option
from ..inputs.files import writing
from ..output.messages import note, waiting
from ..output.view import Output
from ..server.connect import Target
from .batch_progress import BatchProgress
from .execute import Job, completed
from .job import JobOptions
from .wait import Wait

if TYPE_CHECKING:
    from stepflow_client import InputStream
    from stepflow_client._command import OutcomeFormat


@dataclass(frozen=True)
class Stream:
    """The options of a streaming batch."""

    inputs: str
    output: str
    """The file of the records; `-` is standard output, for which there is no journal."""
    form: OutcomeFormat
    """The format of the records."""
    input_format: str | None
    output_format: str | None
    resume: bool
    retry_failed: bool
    limit: int | None
    skip: int
    sample: int | None
    seed: int | None
    on_bad_line: str | None
    """`stop` if a malformed line ends the batch."""

    @property
    def journal(self) -> str | None:
        """The journal's file; None if the output is standard output."""
        return None if self.output == "-" else f"{self.output}.journal"

    def check(self) -> None:
        """Check that existing files are not overwritten.

        Raises:
            Problem: If the output exists and is not to be resumed, or cannot be resumed.
        """
        if self.journal is None:
            return
        is_there, has_journal = os.path.exists(self.output), os.path.exists(self.journal)
        if self.retry_failed:
            if not is_there:
                raise usage(f"{self.output} is not there: --retry-failed runs its failed inputs again")
        elif self.resume and is_there and not has_journal:
            raise usage(f"{self.output} cannot be gone on with: its journal {self.journal} is missing")
        elif not self.resume and (is_there or has_journal):
            found = self.output if is_there else self.journal
            raise usage(
                f"{found} is there already",
                "--resume goes on with it, --retry-failed runs its failed inputs again; else remove it and its journal",
            )


def stream_of(options: JobOptions, output: Output, wait: Wait) -> Stream | None:
    """Return how a batch is streamed; None for a single input or a batch that is not streamed.

    A batch is streamed if its output is a JSON lines, CSV or Parquet file, or if a streaming option is given.

    Args:
        options: The options of the command.
        output: How to print the records.
        wait: How to wait for the batch.

    Raises:
        Problem: If options contradict each other.
    """
    streaming, reuse = options.streaming, options.reuse
    given = [f"--{name.replace('_', '-')}" for name, value in streaming.items() if value not in (None, False, 0)]
    is_plain = output.format in (None, "jsonl")
    if given and not is_plain:
        raise usage(f"{given[0]} and -o {output.format} exclude each other", "a record is written as its input ends")
    by_ending = (output.path or "").lower().endswith((".jsonl", ".ndjson", ".csv", ".parquet"))
    if options.inputs is None or not (given or (by_ending and is_plain and wait.timeout is None)):
        return None
    resumes, waits = "--resume continues such a batch", "'stepflow health --component PATH --wait 60s' waits"
    for name, value, hint in (
        ("--idempotency-key", options.idempotency_key, resumes),
        ("--wait-for-components", options.wait_for_components, waits),
        ("--reuse", reuse.run, resumes),
        ("--from", reuse.from_step, resumes),
        ("--step", reuse.only_step, resumes),
    ):
        if value:
            raise usage(f"{name} and a batch that streams exclude each other", hint)
    form = _output_format(output.path, streaming["output_format"])
    stream = Stream(options.inputs, output.path or "-", form, **streaming)
    stream.check()
    return stream


def _output_format(path: str | None, given: str | None) -> OutcomeFormat:
    if path is None and given == "parquet":
        raise usage("Parquet needs --output FILE")
    try:
        return output_format_of(path or "", given or ("jsonl" if path is None else None))
    except (FlowFileError, InvalidArgumentError) as error:
        raise usage(error.message, "--output-format says what it is" if path and not given else error.hint) from None


def run_stream(target: Target, job: Job, stream: Stream, wait: Wait) -> None:
    """Run a batch and write a record for each input as it ends.

    Raises:
        Problem: If not all inputs succeeded, or the batch is interrupted.
    """
    if stream.retry_failed:
        _retry(target, job, stream, wait)
        return
    journal = stream.journal
    run = _Run(target, completed(target, job), stream, wait, journal)
    chosen = part_of(run.inputs(), stream.skip, stream.limit)
    if stream.sample is not None:
        chosen = sample_of(chosen, stream.sample, stream.seed or 0)
    try:
        with write_outcomes(_target(stream.output), format=stream.form) as file:
            run.write_all(chosen, file)
    except KeyboardInterrupt:
        raise run.interrupted("--resume" if journal else None) from None
    except TransportError as error:
        raise problem_of(error, hint=run.continuation("--resume") if journal else error.hint) from None
    run.progress.summarise()


def _retry(target: Target, job: Job, stream: Stream, wait: Wait) -> None:
    """Run the failed inputs of an output again and replace their records. The output changes once all have ended."""
    _check_ended(stream)
    failed = {
        record["index"]: (record.get("key"), record["run_id"])
        for record in _written(stream)
        if record["status"] != "completed"
    }
    if not failed:
        note(f"no input of {stream.output} has failed")
        return
    # The name identifies the inputs: the journal of a different retry must not be used.
    name = hashlib.sha256(repr(sorted(failed.items())).encode()).hexdigest()[:8]
    journal = f"{stream.output}.retry-{name}.journal"
    run = _Run(target, completed(target, job), stream, wait, journal)
    run.progress.expected = len(failed)
    chosen = _unchanged(chosen_again(run.inputs(), failed), failed, stream)
    try:
        with writing(stream.output), replacing(stream.output) as merged:
            with write_outcomes(merged, format=stream.form) as file:
                for record in _written(stream):
                    if record["index"] not in failed:
                        file.write(record)
                run.write_all(chosen, file)
            # It holds the earlier outcomes: resuming from it would bring them back.
            _remove(f"{stream.output}.journal")
        _remove(journal)
    except KeyboardInterrupt:
        raise run.interrupted("--retry-failed") from None
    except TransportError as error:
        raise problem_of(error, hint=run.continuation("--retry-failed")) from None
    run.progress.summarise()


def _target(path: str) -> Any:
    return sys.stdout if path == "-" else path


def _written(stream: Stream) -> Iterator[dict[str, Any]]:
    """Yield the records of an earlier run of the batch."""
    try:
        yield from read_outcomes(stream.output, stream.form)
    except FlowFileError as error:
        raise usage(error.message, "--resume writes it anew") from None


def _check_ended(stream: Stream) -> None:
    """Raise if the batch was interrupted: a retry would leave its remaining inputs out of the output."""
    if stream.journal is None or not os.path.exists(stream.journal):
        return
    with closing(Journal(stream.journal)) as journal:
        if not journal.has_ended():
            raise usage(f"the batch of {stream.output} was interrupted", "--resume goes on with it first")


def _unchanged(chosen: Iterable[Placed], failed: Mapping[int, tuple[Any, Any]], stream: Stream) -> Iterator[Placed]:
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

    def inputs(self) -> Iterator[Placed]:
        """Yield all inputs of the file with their positions, as they are needed."""
        stream = self._stream
        try:
            stops = stream.on_bad_line == "stop"
            with read_inputs(stream.inputs, stream.input_format, self._job.flow, stops=stops) as self._inputs:
                yield from enumerate(self._inputs)
        except FlowFileError as error:
            raise usage(error.message, without_option(error.hint, "--on-bad-line fail goes on")) from None

    def _values(self, chosen: Iterable[Placed]) -> Iterator[Any]:
        for number, (position, value) in enumerate(chosen):
            self._positions[number] = position
            self.progress.begun += 1
            yield value

    def write_all(self, chosen: Iterable[Placed], file: Any) -> None:
        """Run the chosen inputs and write a record for each as it ends."""
        target, job = self._target, self._job
        outcomes = target.client.map(
            job.flow,
            self._values(chosen),
            check_input=job.check,
            **job.arguments,
            **job.retry.options,
            journal=self._journal,
            # The runs of an embedded server end with it; runs in a persistent store are taken over.
            on_lost="rerun" if target.ends_with_command else "fail",
            on_cancel=self._wait.on_interrupt,
        )
        recording = target.history.recording(flow=job.flow, **job.about)
        with waiting("starting the batch") as spinner, recording, closing(outcomes):
            for outcome in outcomes:
                file.write(outcome.to_dict() | {"index": self._positions.pop(outcome.index)})
                self.progress.note(outcome)
                if self.progress.is_due():
                    self._estimate()
                    self.progress.show(spinner)

    def _estimate(self) -> None:
        stream = self._stream
        if stream.retry_failed:
            return
        expected = None if self._inputs is None else self._inputs.expected
        if expected is not None:
            expected = max(0, expected - stream.skip)
            expected = min(expected, *(most for most in (stream.limit, stream.sample) if most is not None), expected)
        self.progress.expected = expected

    def interrupted(self, option: str | None) -> Problem:
        """Return the problem to report when Ctrl-C ends the batch."""
        return Problem(
            f"interrupted after {self.progress.done} inputs",
            kind="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            hint=self.continuation(option) if option else None,
        )

    @staticmethod
    def continuation(option: str) -> str:
        """Return how the batch continues after it has ended early."""
        return f"the same command with {option} goes on"
