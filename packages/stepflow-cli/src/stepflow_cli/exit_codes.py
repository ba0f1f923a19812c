"""The exit codes of the commands."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import FlowResult, StepflowClientError


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID_FLOW = 3
    NO_SERVER = 4
    TIMED_OUT = 5
    CANCELLED = 6
    AMBIGUOUS = 7
    INTERRUPTED = 130

    @classmethod
    def for_error(cls, error: StepflowClientError) -> ExitCode:
        """Return the exit code for an error from the client."""
        import stepflow_client as client
        from stepflow_client.drawing.layout import DrawingUnavailableError

        codes: list[tuple[type[StepflowClientError], ExitCode]] = [
            (client.FlowFileError, cls.USAGE),
            (client.InvalidArgumentError, cls.USAGE),
            (client.IdempotencyConflictError, cls.USAGE),
            (client.JournalError, cls.USAGE),
            (client.ServerNotInstalledError, cls.USAGE),
            (DrawingUnavailableError, cls.USAGE),
            (client.InvalidFlowError, cls.INVALID_FLOW),
            (client.RunTimeoutError, cls.TIMED_OUT),
            (client.AmbiguousRunError, cls.AMBIGUOUS),
            (client.TransportError, cls.NO_SERVER),
            (client.AuthenticationError, cls.NO_SERVER),
            (client.EmbeddedServerError, cls.NO_SERVER),
        ]
        if isinstance(error, client.ServerStartError) and isinstance(error.__cause__, client.FlowFileError):
            # The server refuses its configuration.
            return cls.USAGE
        return next((code for kind, code in codes if isinstance(error, kind)), cls.FAILED)

    @classmethod
    def for_result(cls, result: FlowResult) -> ExitCode:
        """Return the exit code for the result of a run."""
        if result.is_success:
            return cls.OK
        return cls.CANCELLED if result.is_cancelled else cls.FAILED

    @staticmethod
    def help_text() -> str:
        """Return the list of exit codes for `--help`."""
        return (
            "Exit codes: 0 success; 1 the run failed, or the server refused; 2 usage error, missing file or extra, "
            "malformed input, id or configuration; 3 the flow is invalid; 4 no server, a port in use, or not "
            "authorised; 5 timed out (a run on a server continues); 6 cancelled; 7 a run may or may not have been "
            "created; 130 interrupted."
        )
