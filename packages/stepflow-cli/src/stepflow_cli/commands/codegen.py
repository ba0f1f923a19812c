"""`stepflow codegen`."""

from __future__ import annotations

import shlex

import click

from ..errors import usage
from ..output.view import GeneratedFile
from ..params.flow import flows_argument
from ..params.options import check_needs_file, check_option, file_option
from ..params.parsing import Command


@click.command("codegen", cls=Command, conflicts=[check_needs_file])
@flows_argument(of_project=True)
@file_option("Write the module to this file, - for standard output; it finds the flows from there.")
@check_option
def command(flows: list[str], output: str | None, check: bool) -> None:
    """FLOW is a YAML or JSON file, or a folder of such files. Without any, the flows of the project are taken.

    The module has an object for each flow, with the methods run, submit, start_run, map and result. If the flow has
    schemas, it also has pydantic models for input, output and variables. mypy and pyright check the calls.

    The module needs only stepflow-client. The same flows give the same module, byte for byte, with the same release of
    datamodel-code-generator, which comes with the extra stepflow-cli[codegen].
    """
    from ..validation.flow_checks import list_flow_files

    file = GeneratedFile(output, check=check)
    flows = list_flow_files(flows)
    if "-" in flows:
        raise usage("a flow from standard input has no path that the module could name", "write it to a file first")
    from ..codegen.models import import_generator
    from ..codegen.module import write_module

    import_generator()
    again = shlex.join(["stepflow", "codegen", *flows, "-O", str(file.path)])
    file.write_or_compare(write_module(flows, file.path), again)
