"""Running a batch whose inputs and records stream, with a journal beside the output."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..inputs.files import writing
from ..inputs.records import format_of, read_records
from ..output.messages import note
from ..output.spinner import Spinner, waiting
from ..output.view import Output
from ..server.connect import Target
from .execute import Job, completed
from .wait import Wait

if TYPE_CHECKING:
    from stepflow_client import Outcome

__all__ = ["Stream", "run_stream", "stream_of"]

_EVERY = 0.2
"""Seconds between two writes of the progress."""
_MOST_GROUPS = 5
"""Kinds of failures that the summary lists."""


@dataclass(frozen=True)
class Stream:
    """What the command line says of a batch that streams."""

    inputs: str
    output: str
    """The file of the records; `-` is standard output, which has no journal."""
    input_format: str | None = None
    resume: bool = False
    limit: int | None = None
    skip: int = 0
    stops: bool = False
    """Whether a malformed line ends the batch."""

    @property
    def journal(self) -> str | None:
        """The journal's file."""
        return None if self.output == "-" else f"{self.output}.journal"

    def check(self) -> None:
        """Refuse to overwrite what is there.

        Raises:
            Problem: If the output is there and is not to be gone on with, or there is no way to go on.
        """
        if self.journal is None:
            if self.resume:
                raise usage("--resume needs --output FILE: the journal lies beside it")
            return
        is_there, has_journal = os.path.exists(self.output), os.path.exists(self.journal)
        if self.resume and is_there and not has_journal:
            raise usage(f"{self.output} cannot be gone on with: its journal {self.journal} is missing")
        if not self.resume and (is_there or has_journal):
            found = self.output if is_there else self.journal
            raise usage(f"{found} is there already", "--resume goes on with it; else remove it and its journal")


def stream_of(inputs: str | None, output: Output, wait: Wait, streaming: Mapping[str, Any]) -> Stream | None:
    """Return how a batch streams; None for one that does not, and for a single input.

    One streams whose output is a file of lines of JSON, or that has an option of streams.

    Args:
        inputs: The file of the inputs.
        output: How its records are printed.
        wait: How it is waited for.
        streaming: The options of streams, by name.

    Raises:
        Problem: If options contradict each other.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in streaming.items() if value]
    is_lines = (output.path or "").lower().endswith((".jsonl", ".ndjson"))
    if inputs is None:
        if given:
            raise usage(f"{given[0]} is for batches: it needs --inputs")
        return None
    is_plain = output.format in (None, "jsonl") and not output.fields and wait.timeout is None
    if given and not is_plain:
        raise usage(f"{given[0]} writes whole lines of JSON as inputs end: not with --format, --fields or --timeout")
    if given and not is_lines and output.path not in (None, "-"):
        raise usage(f"{given[0]} writes lines of JSON: the name of {output.path} must end in .jsonl")
    if not given and not (is_lines and is_plain):
        return None
    stream = Stream(
        inputs,
        output.path or "-",
        streaming["input_format"],
        streaming["resume"],
        streaming["limit"],
        streaming["skip"],
        streaming["on_bad_line"] == "stop",
    )
    stream.check()
    return stream


def run_stream(target: Target, job: Job, stream: Stream, wait: Wait) -> None:
    """Run a batch, and write a record for each input as it ends.

    Raises:
        Problem: If not all inputs succeed, or it is interrupted.
    """
    progress = _Progress()
    journal = stream.journal
    if journal is not None and not target.client.server_info().capabilities["blobs"]:
        note("servers before 0.10 cannot go on with a batch: this one has no journal")
        journal = None
    job = completed(target, job)
    form = format_of(stream.inputs, stream.input_format)
    records = read_records(stream.inputs, form, _input_schema(job.flow), stops=stream.stops)
    end = None if stream.limit is None else stream.skip + stream.limit
    outcomes = target.client.map(
        job.flow,
        islice(records, stream.skip, end),
        max_concurrency=job.max_concurrency,
        variables=job.variables,
        variables_from_env=job.env_variables,
        overrides=job.overrides,
        journal=journal,
        # The runs of an embedded server end with it; those that are in a store are taken over.
        on_lost="rerun" if target.ends_with_command else "fail",
        on_cancel=wait.on_interrupt,
    )
    try:
        with waiting("starting the batch") as spinner, closing(outcomes), _opened(stream.output) as file:
            for outcome in outcomes:
                with writing(stream.output):
                    record = outcome.record() | {"index": outcome.index + stream.skip}
                    file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
                progress.note(outcome, spinner)
            with writing(stream.output):
                file.flush()
    except KeyboardInterrupt:
        raise Problem(
            f"interrupted after {progress.done} inputs",
            kind="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            hint="the same command with --resume goes on" if journal else None,
        ) from None
    progress.summarise()


def _input_schema(flow: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = flow
    for name in ("schemas", "properties", "input"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    """Open the output anew: what it had is in the journal, and is written again."""
    if path == "-":
        yield sys.stdout
        return
    with writing(path):
        file = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n")  # noqa: SIM115
    try:
        yield file
    finally:
        with writing(path):
            file.close()


class _Progress:
    """How far a batch is, and what failed."""

    def __init__(self) -> None:
        """Begin to count."""
        self.done = 0
        self._failures: Counter[tuple[str, str]] = Counter()
        self._failed = 0
        self._began = self._shown = time.monotonic()

    def note(self, outcome: Outcome, spinner: Spinner) -> None:
        """Count an outcome."""
        self.done += 1
        if not outcome.is_success:
            self._failed += 1
            error: dict[str, Any] = outcome.record()["error"]
            group = (str(error["code"] or outcome.status.value), error["message"])
            # However many messages differ, few are kept.
            if group in self._failures or len(self._failures) < 1000:
                self._failures[group] += 1
        now = time.monotonic()
        if now - self._shown > _EVERY:
            self._shown = now
            spinner.update(self._text())

    def _text(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-6)
        return f"{self.done} inputs done, {self._failed} failed, {self.done / seconds:.0f}/s"

    def summarise(self) -> None:
        """Print the outcome of the batch, the most frequent failures first.

        Raises:
            Problem: If not all inputs have succeeded.
        """
        note(f"{self._text()}, {time.monotonic() - self._began:.1f} s")
        for (code, message), count in self._failures.most_common(_MOST_GROUPS):
            note(f"  {count} x {code}: {message}")
        if self._failed:
            message = f"{self._failed} of {self.done} inputs did not succeed"
            raise Problem(message, kind="run_failed", exit_code=ExitCode.FAILED)
