# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import IntEnum

from ..types import OpenEnum


class RunStatus(OpenEnum, IntEnum):
    """The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could
    not be recovered after a crash of the server."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELLED = 4
    PAUSED = 5
    RECOVERY_FAILED = 6
