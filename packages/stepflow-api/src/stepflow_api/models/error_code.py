# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import IntEnum

from ..types import OpenEnum


class ErrorCode(OpenEnum, IntEnum):
    """Why an item or step failed - 1 timeout, 2 invalid input, 3 the component failed, 4 cancelled, 5 the
    component could not be reached, 6 no such component, 7 a resource is not available, 8 an expression
    could not be evaluated, 9 the server itself, such as no route to the component, 10 the worker.
    Absent unless it failed."""

    TIMEOUT = 1
    INVALID_INPUT = 2
    COMPONENT_FAILED = 3
    CANCELLED = 4
    UNREACHABLE = 5
    COMPONENT_NOT_FOUND = 6
    RESOURCE_UNAVAILABLE = 7
    EXPRESSION_FAILURE = 8
    ORCHESTRATOR = 9
    WORKER = 10
