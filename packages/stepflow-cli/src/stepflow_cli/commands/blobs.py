"""`stepflow blobs`: values and files stored on a server."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from typing import Any

import click
from stepflow_client import InvalidRequestError, NotFoundError
from stepflow_client._command import collect_examples, remove_cases

from ..errors import ARGUMENT_HINTS, convert_to_problem, usage
from ..inputs.command_line_values import ValueArgument, read_value_argument
from ..inputs.file_io import DATA_SUFFIXES, read_bytes
from ..inputs.flow_loading import load_flow_argument
from ..output.printing import Output, write_document_bytes
from ..output.record_views import View, columns
from ..params.click_commands import LazyGroup
from ..params.options import FILE, Choice, file_output_options, option, record_options, running_server_options
from ..params.runs import content_id_type
from ..server.connect import connect
from ..settings.server_choice import ServerOptions
from ..stdio import read_stdin_bytes

command = LazyGroup("blobs")

_STORED_VIEW = View(columns("blob_id:id", "blob_type=TYPE", "filename"), name="blob_id")
_BLOB_VIEW = View(columns("blob_id:id", "blob_type=TYPE", "filename", "size:number"), name="blob_id")


@command.command("put")
@click.argument("file", metavar="FILE|-", type=FILE)
@option(
    "--type",
    "Store FILE as a JSON value (data), a flow that the server does not check (flow), or bytes (binary). [default: "
    "data for .json, .yaml and .yml, else binary]",
    to="blob_type",
    type=Choice(["data", "flow", "binary"]),
)
@option("--filename NAME", "Store this file name with the blob. [default: the name of FILE]")
@running_server_options
@record_options
def _store_blob(file: str, blob_type: str | None, filename: str | None, server: ServerOptions, output: Output) -> None:
    """Store a file or a JSON value on a server and print its ID.

    .json, .yaml and .yml files are stored as JSON values. Integers of up to 64 bits are preserved exactly. Other files,
    and standard input (-), are stored as bytes.

    The ID is a hash of the content. Storing the same content again replaces its file name.
    """
    kind = blob_type or ("data" if file.lower().endswith(DATA_SUFFIXES) else "binary")
    data: Any
    if kind == "flow":
        flow = load_flow_argument(file)
        # As with stored flows, test cases become examples, without their expected outputs.
        examples = collect_examples(flow)
        data = remove_cases(flow) | ({"examples": examples} if examples else {})
    elif kind == "data":
        data = read_value_argument(ValueArgument("FILE", "file", file))
    else:
        data = read_stdin_bytes() if file == "-" else read_bytes(file)
    name = filename or (None if file == "-" else os.path.basename(file))
    if filename is None and kind == "binary" and name is not None and not name.isascii():
        # Drop the name, because it would be sent in a header, and headers must be ASCII.
        name = None
    with connect(server) as target:
        stored = target.client.store_blob(data, filename=name, blob_type=kind)
    output.print_record({"blob_id": stored.blob_id, "blob_type": kind, "filename": name}, _STORED_VIEW, default="name")


@command.command("get")
@click.argument("blob_id", metavar="BLOB_ID", type=content_id_type("blob", ARGUMENT_HINTS["BLOB_ID"]))
@running_server_options
@file_output_options
def _print_blob(blob_id: str, server: ServerOptions, output: Output) -> None:
    """Print a blob, or write it to a file.

    JSON values are printed as JSON, or written as YAML if the file is .yaml. Bytes are written unchanged to --output
    FILE or a pipe. To print them to the terminal, use --output -.

    Use -o json to print a record with the blob's type and file name. For bytes, it includes the size and the data in
    `base64`.
    """
    with connect(server) as target:
        try:
            blob = target.client.get_blob(blob_id)
        except NotFoundError as error:
            # The server's response has no message.
            error.message, error.hint = f"the server has no blob {blob_id}", None
            raise convert_to_problem(error) from None
        except InvalidRequestError as error:
            hint = "a blob ID is 64 hexadecimal digits, as printed by 'stepflow blobs put'"
            raise convert_to_problem(error, hint=hint) from error
    data, is_binary = blob.data, isinstance(blob.data, bytes)
    if output.format:
        record = {
            "blob_id": blob.blob_id,
            "blob_type": blob.blob_type,
            "filename": blob.filename,
            "size": len(data) if is_binary else None,
            "data": None if is_binary else data,
            "base64": b64encode(data).decode() if is_binary else None,
        }
        output.print_record(record, _BLOB_VIEW)
    elif not is_binary:
        output.print_value(data)
    elif output.path is None and sys.stdout.isatty():
        message = f"not printing {len(data)} bytes of binary data to a terminal"
        raise usage(message, "to save them, use --output FILE; to print them anyway, use --output -")
    else:
        write_document_bytes(data, output.path or "-")
