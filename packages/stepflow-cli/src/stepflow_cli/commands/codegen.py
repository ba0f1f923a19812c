"""`stepflow codegen`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..output.messages import note
from ..output.view import Output, write_document
from ..params.flow import flows_argument
from ..params.options import check_option, file_option
from ..params.parsing import Command

__all__ = ["command"]


@click.command("codegen", cls=Command)
@flows_argument(of_project=True)
@file_option("Write the module to this file, - for standard output; it finds the flows from there.")
@check_option
def command(flows: list[str], output: str | None, check: bool) -> None:
    """FLOW is a YAML or JSON file, or a folder of such files; without any, these are the flows of the project. The
    module has an object for each flow, whose methods run, submit, start_run, map and result call those of any client,
    and pydantic models for its input, output and variables, if it has schemas for them. mypy and pyright check calls.

    The same flows give the same module, byte for byte, with one release of datamodel-code-generator. It is part of the
    extra stepflow-cli[codegen]; what is written needs only stepflow-client.
    """
    from ..validation.checks import flow_files

    flows = flow_files(flows)
    if "-" in flows:
        raise usage("a flow from standard input has no path that the module could name", "write it to a file first")
    target = None if output == "-" else output
    if check and target is None:
        raise usage("--check compares a file", "name it with -O FILE")
    if check and Path(str(target)).is_dir():
        raise usage(f"{target} is a directory, not a file")
    if not check:
        Output(path=target).check()
    from ..codegen.models import imported
    from ..codegen.module import write_module

    imported()
    content = write_module(flows, target).encode()
    if not check:
        write_document(content, target)
        return
    assert target is not None
    _compare(Path(target), content, flows)


def _compare(file: Path, content: bytes, flows: list[str]) -> None:
    if file.is_file() and file.read_bytes() == content:
        note(f"{file} is up to date")
        return
    said = "is not what would be written" if file.exists() else "does not exist"
    again = shlex.join(["stepflow", "codegen", *flows, "-O", str(file)])
    raise Problem(f"{file} {said}", kind="outdated", exit_code=ExitCode.FAILED, hint=f"write it again: {again}")
