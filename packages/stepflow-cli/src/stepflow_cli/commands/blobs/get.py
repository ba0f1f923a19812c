"""`stepflow blobs get`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ...errors import Problem, problem_of, usage
from ...exit_codes import ExitCode
from ...inputs.files import writing
from ...output.view import Column, Output, View
from ...params.options import file_output_options, server_options
from ...params.parsing import Command
from ...server.connect import connect
from ...settings.resolve import ServerOptions
from ...stdio import telling_of_lost_output

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.types import BlobContent

__all__ = ["command"]

_BLOB = View(
    columns=(
        Column("blob_id", kind="id"),
        Column("blob_type", title="TYPE"),
        Column("filename"),
        Column("size", kind="number"),
    ),
    name="blob_id",
    fields=("data", "base64"),
)


@click.command("get", cls=Command)
@click.argument("blob_id", metavar="BLOB_ID")
@server_options(default="server")
@file_output_options
def command(blob_id: str, server: ServerOptions, output: Output) -> None:
    """Print a blob, or write it to a file.

    A JSON value is printed as JSON, or as YAML into a .yaml file. Bytes are written as they are: into --output FILE or
    a pipe, and to a terminal only with --output -.

    With -o it is printed with its type and its file name; bytes are then in `base64`, and only bytes have a size.
    """
    with connect(server) as target:
        blob = _blob(target.client, blob_id)
    if output.format or output.fields:
        output.record(_record(blob), _BLOB)
    elif isinstance(blob.data, bytes):
        _write(blob.data, output.path)
    else:
        output.value(blob.data)


def _blob(client: SyncStepflowClient, blob_id: str) -> BlobContent:
    """Return the blob. Servers respond without a message if it does not exist, so one is added here."""
    from stepflow_client import InvalidRequestError, NotFoundError

    try:
        return client.get_blob(blob_id)
    except NotFoundError:
        raise Problem(f"the server has no blob {blob_id}", kind="not_found", exit_code=ExitCode.FAILED) from None
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
    with writing(str(file)), open(str(file), "wb") as opened:
        opened.write(content)
