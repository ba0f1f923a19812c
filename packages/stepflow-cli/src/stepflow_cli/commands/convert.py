"""`stepflow convert`."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath

import click

from ..errors import usage
from ..inputs.flow import import_flow, is_python_flow, load_flow_file
from ..output.terminal import escape_json
from ..output.view import GeneratedFile
from ..params.flow import flow_argument
from ..params.options import OUTPUT, Choice, check_needs_file, check_option, file_option
from ..params.parsing import Command

_FORMATS = ("yaml", "json")
_ENDINGS = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}


@click.command("convert", cls=Command, conflicts=[check_needs_file])
@flow_argument
@OUTPUT.option(
    "--to", "yaml or json. [default: by the extension of --output, else yaml]", to="form", type=Choice(_FORMATS)
)
@file_option("Write the flow to this file, - for standard output.")
@check_option
def command(flow: str, form: str | None, output: str | None, check: bool) -> None:
    """FLOW is a YAML or JSON file, - for standard input, or MODULE:FUNCTION for a flow in Python. The same flow gives
    the same file. Nothing is run, and no server is needed.

    YAML of a flow in Python has a comment at each step that names its line. Comments of a YAML file are not kept.
    """
    from stepflow_client._command import write_yaml

    file = GeneratedFile(output, check=check)
    ending = PurePath(output or "").suffix.lower()
    if form is None and ending and ending not in _ENDINGS:
        hint = f"use one of {', '.join(_ENDINGS)}, or name the format with --to"
        raise usage(f"{output}: there is no format {ending}", hint)
    form = form or _ENDINGS.get(ending, "yaml")
    content = load_flow_file(flow)
    commented = getattr(import_flow(flow).value, "to_yaml", None) if is_python_flow(flow) else None
    if form == "json":
        text = escape_json(json.dumps(content, indent=2, ensure_ascii=False)) + "\n"
    else:
        text = str(commented()) if callable(commented) else write_yaml(content)
    file.write_or_compare(text, shlex.join(["stepflow", "convert", flow, "--to", form, "-O", str(file.path)]))
