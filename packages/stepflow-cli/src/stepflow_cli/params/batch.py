"""The options of batches."""

from __future__ import annotations

import click

from .options import limit_option
from .sections import BATCH, Choice

FORMATS = ["jsonl", "csv", "json", "yaml", "parquet"]
"""The formats of many inputs."""
RETRY_CODES = [
    "timeout", "invalid_input", "component_failed", "cancelled", "unreachable", "component_not_found",
    "resource_unavailable", "expression_failed", "orchestrator", "worker", "lost", "lost_before_start",
]  # fmt: skip
"""The error codes of runs. Listed here, as the client's enumeration takes long to import."""

retry_options = (
    BATCH.option(
        "--retry N",
        "Run inputs again within the batch, up to N times, after failures that may pass: a timeout, a missing "
        "worker, a run lost before it started. All their steps run again. [default: 0]",
        to="retries",
        type=click.IntRange(min=0),
    ),
    BATCH.option(
        "--retry-on CODE",
        "With --retry: run inputs with this error code again, and no others; repeatable. The codes are those "
        "of the records.",
        to="codes",
        multiple=True,
        type=Choice(RETRY_CODES),
    ),
)
"""The options of a `Retry`."""

stream_options = (
    BATCH.option(
        "--input-format",
        "The format of INPUTS. [default: by the file extension; JSON lines for -]",
        type=Choice(FORMATS),
    ),
    BATCH.option("--resume", "Continue an interrupted batch, from the journal beside --output FILE."),
    BATCH.option("--retry-failed", "Run the failed inputs of --output FILE again, and replace their records."),
    BATCH.option("--skip N", "Leave out the first N.", type=click.IntRange(min=0), default=0),
    limit_option("inputs", section=BATCH),
    BATCH.option(
        "--sample N",
        "Run N randomly chosen inputs, of those that --skip and --limit leave.",
        type=click.IntRange(min=1),
    ),
    BATCH.option(
        "--seed N", "Seed of the random choice: the same inputs and seed give the same sample. [default: 0]", type=int
    ),
    BATCH.option(
        "--on-bad-line",
        "A malformed line is a failed input, or ends the batch. [default: fail with --output, else stop]",
        type=Choice(["fail", "stop"]),
        default=None,
    ),
)
"""The options that choose the inputs of a batch, and how its records are written."""
