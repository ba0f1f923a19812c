"""The run input that is piped into a command: JSON, or YAML if the command line says so."""

from __future__ import annotations

import os
import select
import stat
import sys
from typing import Any

from ..errors import usage
from ..output.messages import note
from ..stdio import read_stdin

__all__ = ["is_piped", "read_piped"]

_SILENCE = 2.0
"""Seconds without a byte before a message explains what the command is waiting for."""


def is_piped() -> bool:
    """Return whether standard input is a pipe or a regular file, not a terminal or a device such as /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def read_piped(stdin_format: str | None = None) -> tuple[Any] | None:
    """Return the value on standard input, in a tuple; None if nothing is piped or only whitespace.

    Args:
        stdin_format: json or yaml; None is json.

    Raises:
        Problem: If it cannot be parsed; the hint gives the options that read YAML, or that ignore standard input.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import parse_json, parse_yaml

    if not is_piped():
        return None
    _tell_what_is_waited_for()
    text = read_stdin()
    if not text.strip():
        return None
    if stdin_format == "yaml":
        return (parse_yaml(text, "standard input"),)
    try:
        return (parse_json(text, "standard input"),)
    except FlowFileError as error:
        hint = "--no-stdin leaves standard input alone"
        raise usage(error.message, hint if stdin_format else f"--stdin-format yaml reads YAML; {hint}") from None


def _tell_what_is_waited_for() -> None:
    if os.name != "posix":  # on Windows, select works only with sockets
        return
    if not select.select([sys.stdin], [], [], _SILENCE)[0]:
        note("reading the input from standard input; --no-stdin leaves it alone")
