"""`stepflow convert` and `stepflow codegen`: write flows in another format or as Python code."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath

import click

from ..errors import usage
from ..inputs.flow_loading import import_python_flow, is_python_flow, load_flow_argument
from ..output.colors_and_escaping import escape_json_for_terminal
from ..output.printing import GeneratedFile
from ..params.click_commands import Command
from ..params.flow_run_options import flow_argument, flows_argument
from ..params.options import OUTPUT, Choice, check_needs_file, check_option, output_file_option

_FORMATS = ("yaml", "json")
_FORMAT_BY_EXTENSION = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}


@click.command("convert", cls=Command, conflicts=[check_needs_file])
@flow_argument
@OUTPUT.option(
    "--to", "Write YAML or JSON. [default: from the extension of --output, else yaml]", to="form", type=Choice(_FORMATS)
)
@output_file_option("Write the flow to this file, or - for standard output.")
@check_option
def convert_command(flow: str, form: str | None, output: str | None, check: bool) -> None:
    """FLOW can be a YAML or JSON file, - to read standard input, or MODULE:FUNCTION for a flow in Python. The same flow
    always produces the same file. Nothing is run, and no server is needed.

    For a function decorated with @flow, comments in the YAML give the source line of each top-level step. Comments in a
    YAML source file are lost.
    """
    from stepflow_client._command import write_yaml

    file = GeneratedFile(output, check=check)
    ending = PurePath(output or "").suffix.lower()
    if form is None and ending and ending not in _FORMAT_BY_EXTENSION:
        hint = f"use one of {', '.join(_FORMAT_BY_EXTENSION)}, or name the format with --to"
        raise usage(f"{output}: unknown format {ending}", hint)
    form = form or _FORMAT_BY_EXTENSION.get(ending, "yaml")
    content = load_flow_argument(flow)
    commented = getattr(import_python_flow(flow).value, "to_yaml", None) if is_python_flow(flow) else None
    if form == "json":
        text = escape_json_for_terminal(json.dumps(content, indent=2, ensure_ascii=False)) + "\n"
    else:
        text = str(commented()) if callable(commented) else write_yaml(content)
    again = shlex.join(["stepflow", "convert", flow, "--to", form, "-O", str(file.path)])
    file.write_or_compare(text, f"run {again}")


@click.command("codegen", cls=Command, conflicts=[check_needs_file])
@flows_argument(of_project=True)
@output_file_option(
    "Write the module to this file, or - for standard output. The module finds its flows relative to this file."
)
@check_option
def codegen_command(flows: list[str], output: str | None, check: bool) -> None:
    """FLOW can be a YAML or JSON file, or a folder of them. By default, the project's flows are used.

    The module contains an object for each flow, with the methods run, submit, start_run, map and result. The schemas of
    the input, output and variables become pydantic models or type aliases, so mypy and pyright can check your calls.

    The module depends only on stepflow-client. The same flows and release of datamodel-code-generator (in the
    stepflow-cli[codegen] extra) always produce the same module.
    """
    from ..validation.flow_checks import expand_folders

    file = GeneratedFile(output, check=check)
    flows = expand_folders(flows)
    if "-" in flows:
        raise usage("a flow from standard input has no path for the module to refer to", "write it to a file first")
    from ..codegen.pydantic_models import import_model_generator
    from ..codegen.typed_flows_module import generate_flow_module

    import_model_generator()
    again = shlex.join(["stepflow", "codegen", *flows, "-O", str(file.path)])
    file.write_or_compare(generate_flow_module(flows, file.path), f"run {again}")
