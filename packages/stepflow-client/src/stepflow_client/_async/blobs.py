"""Stores and reads blobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .. import types
from .._codec import call_checks, responses
from .._data.arguments import argument_error, check_text
from .._data.wire import check_json
from .._rules import operations_and_releases as api
from ..types.model_base import decode_model
from .connection import Connection

if TYPE_CHECKING:
    from ..types import BlobContent, StoreBlobResponse

_BYTES_TYPES = (bytes, bytearray, memoryview)


class BlobStore:
    """Stores and reads blobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store_blob(
        self, data: Any, *, filename: str | None = None, blob_type: str | None = None
    ) -> StoreBlobResponse:
        """Store a blob and return its ID, which is the SHA-256 digest of its content."""
        check_name = call_checks.check_header_text if isinstance(data, _BYTES_TYPES) else check_text
        name = None if filename is None else check_name(filename, "filename")
        if isinstance(data, _BYTES_TYPES):
            if blob_type not in (None, "binary"):
                raise argument_error("blob_type for bytes", "'binary'", blob_type)
            from stepflow_api.types import File

            request = api.store_blob(body=File(payload=bytes(data)), x_blob_filename=name)
        else:
            if blob_type not in (None, "data", "flow"):
                raise argument_error("blob_type for JSON", "'data' or 'flow'", blob_type)
            options = {"blobType": blob_type, "filename": name}
            metadata = {key: value for key, value in options.items() if value is not None}
            request = api.store_blob(body={"data": check_json(data, "the blob"), **metadata})
        return await self._connection.call(request, partial(decode_model, types.StoreBlobResponse))

    async def get_blob(self, blob_id: str) -> BlobContent:
        """Return a blob. Its `data` is the JSON value, or `bytes` for a binary blob."""
        blob_id = call_checks.check_path_id(blob_id, "blob_id")
        response = await self._connection.send(_build_read_request(blob_id))
        # Request raw bytes, because then every release that supports blobs sends the exact JSON, with the type and file
        # name in the headers.
        blob_type, data = response.headers.get("x-blob-type", "binary"), response.content
        return types.BlobContent(
            blob_id=blob_id,
            blob_type=blob_type,
            filename=responses.parse_attachment_name(response.headers.get("content-disposition")),
            data=data if blob_type == "binary" else responses.parse_json_value(data, f"GET /blobs/{blob_id}"),
        )

    async def find_blob_name_and_server_date(self, blob_id: str) -> tuple[str | None, str]:
        """Return a blob's name (or None if the server doesn't have the blob), along with the date of the response.

        A missing blob isn't treated as an error, not even in traces and metrics.
        """
        response = await self._connection.send(_build_read_request(blob_id), may_be_missing=True)
        name = responses.parse_attachment_name(response.headers.get("content-disposition"))
        return None if response.status == 404 else name or "", response.headers.get("date", "")


def _build_read_request(blob_id: str) -> api.OperationRequest:
    from stepflow_api.models import GetBlobAccept

    return api.get_blob(blob_id, accept=GetBlobAccept.BYTES)
