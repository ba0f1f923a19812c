"""`stepflow history clear`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from ...errors import usage
from ...output.view import Column, Output, View
from ...params.options import Confirm, confirm_option, output_options
from ...params.parsing import Command
from ...params.times import time_option

__all__ = ["command"]

_CLEARED = View(columns=(Column("removed", kind="number"), Column("file")), name="removed")


@click.command("clear", cls=Command)
@time_option("--before", "Only runs recorded before then: 2026-11-25, or 30d for thirty days ago.")
@confirm_option
@output_options
def command(before: str | None, confirm: Confirm, output: Output) -> None:
    """Remove recorded runs from this machine.

    Their data in the file is overwritten. The logs that 'runs logs' prints are removed too, even if their server is
    still running. Servers are not asked, and keep their runs.
    """
    from ...server.logs import clear_logs
    from ...settings.history import open_history

    until = None if before is None else _time(before)
    age = 0.0 if until is None else max(0.0, (datetime.now(UTC) - until).total_seconds())
    confirm("remove all recorded runs" if before is None else f"remove the runs recorded before {before}")
    history = open_history()
    clear_logs(until)
    output.record({"removed": history.clear(older_than=age), "file": str(history.path)}, _CLEARED)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise usage(f"--before is a time such as 2026-11-25 or 30d, not {text!r}") from None
