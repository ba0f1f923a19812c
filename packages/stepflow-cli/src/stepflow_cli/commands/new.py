"""`stepflow new`."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from ..errors import usage
from ..inputs.file_io import converting_write_errors, write_bytes
from ..output.colors_and_escaping import escape
from ..output.messages import note
from ..params.click_commands import Command
from ..params.options import Choice, option

_TEMPLATES_FOLDER = Path(__file__).parents[1] / "flow_templates"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@click.command("new", cls=Command)
@click.argument("flow", metavar="FLOW", type=click.Path(path_type=Path))
@option(
    "--template NAME",
    "Start from this template: plain, map or worker. [default: plain]",
    type=Choice(["plain", "map", "worker"]),
    default="plain",
)
def command(flow: Path, template: str) -> None:
    """FLOW is the file to create. If the name has no extension, .yaml is added. The flow has a schema and a passing
    test case. The command prints the names of the new files, and never overwrites existing files.

    The plain template has one builtin step. map runs a flow for each element of a list. worker has a Python component,
    a configuration that starts its worker, and a stepflow.toml file that names this configuration and the component
    file for 'validate --offline'. The worker requires the stepflow-py package from the server's release.
    """
    if flow.suffix not in (".yaml", ".yml"):
        if flow.suffix or not flow.name:
            hint = f"use {flow.with_suffix('.yaml')}" if flow.name else None
            raise usage(f"{flow} is not a YAML file name", hint)
        flow = flow.with_name(f"{flow.name}.yaml")
    name = flow.stem if _PLAIN_NAME.fullmatch(flow.stem) else json.dumps(flow.stem)
    contents: dict[Path, str] = {}
    for file in sorted((_TEMPLATES_FOLDER / template).iterdir()):
        file_name = file.name.removesuffix(".template")
        path = flow if file_name == "flow.yaml" else flow.with_name(file_name)
        text = file.read_text("utf-8").replace("name: NAME\n", f"name: {name}\n")
        contents[path] = text.replace('"NAME.yaml"', json.dumps(flow.name))
    for path in contents:
        if path.exists() or path.is_symlink():
            raise usage(f"{path} already exists", "nothing was written; choose a different name or folder")
    for path, text in contents.items():
        with converting_write_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(str(path), text.encode(), expected_content=None)
        click.echo(escape(str(path)))
    install = ""
    if template == "worker" and not _can_python_on_path_import("stepflow_py"):
        tool = "python -m pip install" if _can_python_on_path_import("pip") else "uv pip install --python python"
        install = f"{tool} stepflow-py && "
        with suppress(PackageNotFoundError):
            install = f"{tool} stepflow-py=={version('stepflow-orchestrator')} && "
    note(f"next: {install}stepflow test {shlex.quote(str(flow))}")


def _can_python_on_path_import(module: str) -> bool:
    with suppress(OSError, subprocess.SubprocessError):
        # Use the `python` on PATH, just like the generated configuration.
        return subprocess.run(["python", "-c", f"import {module}"], capture_output=True, timeout=30).returncode == 0  # noqa: S607
    return False
