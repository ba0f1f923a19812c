"""Values given on the command line: in a file, as JSON, as YAML, or on standard input."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["read_value"]


def read_value(kind: str, path: str | None, as_json: str | None, as_yaml: str | None) -> Any:
    """Give the value of the one option of three that was given, None if none was.

    Args:
        kind: The option's name, for example `input`: it is `--input`, `--input-json` or `--input-yaml`.
        path: A file, or `-` for standard input.
        as_json: The value as JSON text.
        as_yaml: The value as YAML text.

    Raises:
        click.UsageError: If more than one was given.
        FlowFileError: If it cannot be read.
    """
    from stepflow_client.flow_file import load_file, parse_json, parse_yaml

    if sum(given is not None for given in (path, as_json, as_yaml)) > 1:
        raise click.UsageError(f"--{kind}, --{kind}-json and --{kind}-yaml exclude each other")
    if as_json is not None:
        return parse_json(as_json, f"--{kind}-json")
    if as_yaml is not None:
        return parse_yaml(as_yaml, f"--{kind}-yaml")
    if path == "-":
        return parse_yaml(sys.stdin.read(), "standard input")
    return None if path is None else load_file(path)
