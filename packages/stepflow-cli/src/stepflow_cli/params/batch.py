"""The options of batches."""

from __future__ import annotations

from typing import Any

import click

from .options import Decorator, limit_option, option_in
from .parsing import FILE, Choice

FORMATS = ["jsonl", "csv", "json", "yaml", "parquet"]
"""The formats of a batch's inputs and records."""
RETRY_CODES = [
    "timeout",
    "invalid_input",
    "component_failed",
    "cancelled",
    "unreachable",
    "component_not_found",
    "resource_unavailable",
    "expression_failed",
    "orchestrator",
    "worker",
    "lost",
    "lost_before_start",
]
"""The error codes of runs. Listed here, as the client's enumeration takes long to import."""

inputs_option = option_in(
    "--inputs",
    type=FILE,
    section="Batch",
    metavar="FILE",
    help="Many inputs: JSON lines (.jsonl, or -; empty lines are skipped), CSV, Parquet, or a list in a YAML or "
    "JSON file.",
)
"""Adds --inputs; the command gets `inputs`, the file's name or None."""


def retry_options() -> list[Decorator]:
    """Return the options of a `Retry`."""
    where: dict[str, Any] = {"section": "Batch"}
    return [
        option_in(
            "--retry",
            "retries",
            type=click.IntRange(min=0),
            metavar="N",
            help="Run inputs again within the batch, up to N times, after failures that may pass: a timeout, a missing "
            "worker, a run lost before it started. All their steps run again. [default: 0]",
            **where,
        ),
        option_in(
            "--retry-on",
            "codes",
            multiple=True,
            type=Choice(RETRY_CODES),
            metavar="CODE",
            help="With --retry: run inputs with this error code again, and no others; repeatable. The codes are those "
            "of the records.",
            **where,
        ),
    ]


def stream_options() -> list[Decorator]:
    """Return the options of batches that stream."""
    where: dict[str, Any] = {"section": "Batch"}
    return [
        option_in(
            "--input-format",
            type=Choice(FORMATS),
            help="What --inputs holds. [default: by the file extension; JSON lines for -]",
            **where,
        ),
        option_in(
            "--output-format",
            type=Choice(FORMATS),
            help="How --output is written as inputs end. [default: by the file extension; JSON lines for -]",
            **where,
        ),
        option_in(
            "--resume",
            is_flag=True,
            help="Continue an interrupted batch, from the journal beside --output FILE.",
            **where,
        ),
        option_in(
            "--retry-failed",
            is_flag=True,
            help="Run the failed inputs of --output FILE again, and replace their records.",
            **where,
        ),
        option_in("--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N.", **where),
        limit_option("inputs", **where),
        option_in(
            "--sample",
            type=click.IntRange(min=1),
            metavar="N",
            help="Run N randomly chosen inputs, of those that --skip and --limit leave.",
            **where,
        ),
        option_in(
            "--seed",
            type=int,
            metavar="N",
            help="Seed of the random choice: the same inputs and seed give the same sample. [default: 0]",
            **where,
        ),
        option_in(
            "--on-bad-line",
            type=Choice(["fail", "stop"]),
            default=None,
            help="A malformed line is a failed input, or ends the batch. [default: fail]",
            **where,
        ),
    ]
