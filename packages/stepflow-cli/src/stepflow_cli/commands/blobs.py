"""`stepflow blobs`: values and files that a server stores."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import InvalidRequestError, NotFoundError

from ..errors import problem_of, usage
from ..inputs.files import DATA_SUFFIXES, read_bytes, write_bytes
from ..output.view import Output, View, columns
from ..params.options import file_output_options, record_options, running_server_options
from ..params.parsing import LazyGroup
from ..params.run_ids import ContentId
from ..params.sections import FILE, Choice, option
from ..server.connect import connect
from ..settings.server_choice import ServerOptions
from ..stdio import read_stdin_bytes, telling_of_lost_output

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.types import BlobContent

command = LazyGroup("blobs")

_STORED = View(columns=columns("blob_id:id", "blob_type=TYPE", "filename"), name="blob_id")


@command.command("put")
@click.argument("file", metavar="FILE|-", type=FILE)
@option(
    "--type",
    "data: a JSON value; flow: a flow, which the server does not check; binary: bytes. [default: data for .json, "
    ".yaml and .yml, else binary]",
    to="blob_type",
    type=Choice(["data", "flow", "binary"]),
)
@option("--filename NAME", "The file name to store with it. [default: FILE's]")
@running_server_options
@record_options
def _put(file: str, blob_type: str | None, filename: str | None, server: ServerOptions, output: Output) -> None:
    """Store a file, or a JSON value, on a server and print its id.

    A .json, .yaml or .yml file is stored as a JSON value, with its numbers unchanged. Other files, and standard input
    (-), are stored as bytes, unless --type says otherwise.

    The id is the hash of the content. If you store the same content again, its file name is replaced.
    """
    kind = blob_type or ("data" if file.lower().endswith(DATA_SUFFIXES) else "binary")
    data = _read(file, kind)
    name = filename or (None if file == "-" else os.path.basename(file))
    if filename is None and kind == "binary" and name is not None and not name.isascii():
        # The name is sent in a header, which must be ASCII.
        name = None
    with connect(server) as target:
        stored = target.client.store_blob(data, filename=name, blob_type=kind)
    output.record({"blob_id": stored.blob_id, "blob_type": kind, "filename": name}, _STORED, default="name")


def _read(file: str, kind: str) -> Any:
    from ..inputs.values import Given, read_value

    if kind == "flow":
        from stepflow_client._command import as_stored

        from ..inputs.flow import load_flow_file

        return as_stored(load_flow_file(file))
    if kind == "data":
        return read_value(Given("FILE", "file", file))
    if file == "-":
        return read_stdin_bytes()
    return read_bytes(file)


_BLOB = View(
    columns=columns("blob_id:id", "blob_type=TYPE", "filename", "size:number"),
    name="blob_id",
)


@command.command("get")
@click.argument(
    "blob_id", metavar="BLOB_ID", type=ContentId("blob", "'stepflow blobs put FILE' stores a blob and prints its id")
)
@running_server_options
@file_output_options
def _get(blob_id: str, server: ServerOptions, output: Output) -> None:
    """Print a blob, or write it to a file.

    A JSON value is printed as JSON, or as YAML into a .yaml file. Bytes are written as they are: into --output FILE or
    a pipe, and to a terminal only with --output -.

    With -o it is printed with its type and its file name; bytes are then in `base64`, and only bytes have a size.
    """
    with connect(server) as target:
        blob = _blob(target.client, blob_id)
    if output.format:
        output.record(_record(blob), _BLOB)
    elif isinstance(blob.data, bytes):
        _write(blob.data, output.path)
    else:
        output.value(blob.data)


def _blob(client: SyncStepflowClient, blob_id: str) -> BlobContent:
    """Return the blob. Servers respond without a message if it does not exist, so one is added here."""
    try:
        return client.get_blob(blob_id)
    except NotFoundError as error:
        error.message, error.hint = f"the server has no blob {blob_id}", None
        raise problem_of(error) from None
    except InvalidRequestError as error:
        raise problem_of(error, hint="a blob's id is 64 hexadecimal digits, as 'stepflow blobs put' prints") from error


def _record(blob: BlobContent) -> dict[str, Any]:
    from base64 import b64encode

    content = blob.data if isinstance(blob.data, bytes) else None
    return {
        "blob_id": blob.blob_id,
        "blob_type": blob.blob_type,
        "filename": blob.filename,
        "size": None if content is None else len(content),
        "data": blob.data if content is None else None,
        "base64": None if content is None else b64encode(content).decode(),
    }


def _write(content: bytes, file: str | None) -> None:
    """Write bytes unchanged."""
    if file in (None, "-"):
        if file is None and sys.stdout.isatty():
            raise usage(
                f"{len(content)} bytes of binary data are not printed on a terminal",
                "--output FILE keeps them; --output - prints them",
            )
        sys.stdout.flush()
        with telling_of_lost_output():
            sys.stdout.buffer.write(content)
        return
    write_bytes(str(file), content)
