# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import StrEnum

from ..types import OpenEnum


class GetBlobAccept(OpenEnum, StrEnum):
    """The form of the answer, `application/json` (the default) or `application/octet-stream`."""

    JSON = "application/json"
    BYTES = "application/octet-stream"
