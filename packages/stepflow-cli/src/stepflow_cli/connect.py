"""Where a command runs: on the server that is named, else on an embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

__all__ = ["connect"]


@contextmanager
def connect(url: str | None, config: str | None) -> Iterator[SyncStepflowClient]:
    """Give a client of the server at the URL, or of an embedded server that lives as long as the block.

    Args:
        url: The server; None for an embedded one.
        config: The embedded server's configuration file; None for the builtin components only.
    """
    from stepflow_client import SyncStepflowClient

    if url is not None:
        with SyncStepflowClient.from_env(base_url=url) as client:
            yield client
        return
    from stepflow_client import EmbeddedServerError, StepflowClientError, StepflowRuntime

    exit_codes: list[int] = []

    def ended(exit_code: int, log_tail: object) -> None:
        # Nobody starts it again: whoever waits for it must not wait any longer.
        exit_codes.append(exit_code)
        runtime.sync_client.close()

    with StepflowRuntime.start(config, on_crash=ended) as runtime:
        try:
            yield runtime.sync_client
        except StepflowClientError as error:
            if not exit_codes:
                raise
            message = f"the embedded server ended unexpectedly (exit code {exit_codes[0]})"
            raise EmbeddedServerError(message, run_id=error.run_id) from error
