"""`stepflow blobs put`."""

from __future__ import annotations

import os
from typing import Any

import click

from ...errors import usage
from ...inputs.files import read_bytes
from ...output.view import Column, Output, View
from ...params.options import formatted_output, server_options
from ...params.parsing import FILE, Choice, Command
from ...server.connect import connect
from ...settings.resolve import ServerOptions
from ...stdio import read_stdin_bytes

__all__ = ["command"]

_STORED = View(
    columns=(Column("blob_id", kind="id"), Column("blob_type", title="TYPE"), Column("filename")), name="blob_id"
)


@click.command("put", cls=Command)
@click.argument("file", metavar="FILE|-", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Store the JSON or YAML value that it holds.")
@click.option("--binary", is_flag=True, help="Store its bytes as they are.")
@click.option(
    "--type",
    "blob_type",
    type=Choice(["data", "flow", "binary"]),
    help="data: a JSON value; flow: a flow, which the server does not check; binary: bytes. [default: data for .json, "
    ".yaml and .yml, else binary]",
)
@click.option("--filename", metavar="NAME", help="The file name to store with it. [default: FILE's]")
@server_options(default="server")
@formatted_output(has_json=False)
def command(
    file: str,
    as_json: bool,
    binary: bool,
    blob_type: str | None,
    filename: str | None,
    server: ServerOptions,
    output: Output,
) -> None:
    """Store a file, or a JSON value, on a server and print its id.

    A .json, .yaml or .yml file is stored as a JSON value, with its numbers unchanged; other files, and standard input
    (-), are stored as bytes. --json and --binary override this.

    The id is computed from the content: the same content has the same id, and the file name that was given last.
    Servers support blobs from 0.10 on.
    """
    kind = _kind(file, as_json, binary, blob_type)
    data = _read(file, kind)
    name = filename or (None if file == "-" else os.path.basename(file))
    if filename is None and kind == "binary" and name is not None and not name.isascii():
        # The name is sent in a header, which must be ASCII.
        name = None
    with connect(server) as target:
        stored = target.client.store_blob(data, filename=name, blob_type=kind)
    output.record({"blob_id": stored.blob_id, "blob_type": kind, "filename": name}, _STORED, default="name")


def _kind(file: str, as_json: bool, binary: bool, blob_type: str | None) -> str:
    """Return the type of the blob: data, flow or binary."""
    kinds = {"data": as_json, "binary": binary}
    if as_json and binary:
        raise usage("--json and --binary cannot be combined")
    if blob_type is None:
        by_ending = "data" if file.lower().endswith((".json", ".yaml", ".yml")) else "binary"
        return next((kind for kind, asked in kinds.items() if asked), by_ending)
    if (binary and blob_type != "binary") or (as_json and blob_type == "binary"):
        raise usage(f"--type {blob_type} and {'--binary' if binary else '--json'} cannot be combined")
    return blob_type


def _read(file: str, kind: str) -> Any:
    from ...inputs.values import Given, read_value

    if kind == "flow":
        from stepflow_client.flows.additions import as_stored

        from ...inputs.flow import load_flow_file

        return as_stored(load_flow_file(file))
    if kind == "data":
        return read_value(Given("FILE", "file", file))
    if file == "-":
        return read_stdin_bytes()
    return read_bytes(file)
