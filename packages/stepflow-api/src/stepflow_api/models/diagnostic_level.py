# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import IntEnum

from ..types import OpenEnum


class DiagnosticLevel(OpenEnum, IntEnum):
    """How bad a finding is - 1 fatal (the flow is not stored), 2 error, 3 warning."""

    FATAL = 1
    ERROR = 2
    WARNING = 3
