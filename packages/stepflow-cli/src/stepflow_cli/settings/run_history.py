"""The run history, and the setting that turns it on or off.

Runs are recorded unless STEPFLOW_HISTORY or the configuration file turns recording off. Either setting can also specify
a PostgreSQL database to use instead of the user's own history file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ..errors import Problem
from ..output.messages import note as warn
from .profiles import DATABASE_SCHEMES, Profiles, load_profiles, parse_history_setting
from .server_choice import Setting

if TYPE_CHECKING:
    from stepflow_client.history import History, HistoryEntry

HISTORY_VARIABLE = "STEPFLOW_HISTORY"


def get_history_setting(profiles: Profiles | None = None) -> Setting:
    """Return the history setting (`on`, `off` or a database URL), along with its origin.

    Args:
        profiles: The contents of the configuration file. By default, the file is read from disk.

    Raises:
        Problem: If STEPFLOW_HISTORY isn't on, off or a URL, or if the configuration file can't be read.
    """
    text = os.environ.get(HISTORY_VARIABLE, "").strip()
    if text:
        value = parse_history_setting(text, HISTORY_VARIABLE)
        return Setting("history", value, f"environment variable {HISTORY_VARIABLE}")
    profiles = load_profiles() if profiles is None else profiles
    if profiles.history is not None:
        return Setting("history", profiles.history, str(profiles.path))
    return Setting("history", "on", "default")


def find_hint_if_off() -> str | None:
    """Return a hint that explains how to turn recording on, or None if it is on."""
    setting = get_history_setting()
    if setting.value != "off":
        return None
    return f"unset {HISTORY_VARIABLE}" if HISTORY_VARIABLE in setting.origin else "stepflow config set history on"


def open_history() -> History:
    """Open the history. The file isn't read until it's needed, and isn't created until the first run is recorded.

    Raises:
        Problem: If the setting is invalid.
    """
    from stepflow_client.history import History

    value = get_history_setting().value
    return History(value if value.startswith(DATABASE_SCHEMES) else None, on_failure=warn)


class LazyRunHistory:
    """The history used by a command's client. It isn't imported or read until a run is created.

    Only runs created inside a `recording_runs` block are recorded, so runs started by `doctor` or by test cases are
    not.
    """

    def __init__(self) -> None:
        self._fields: Mapping[str, Any] | None = None

    @property
    def as_client_history(self) -> History:
        """This object, cast to the type that the client expects."""
        return cast("History", self)

    @contextmanager
    def recording_runs(
        self,
        *,
        flow: Mapping[str, Any] | None = None,
        flow_file: str | None = None,
        labels: Mapping[str, str] | None = None,
        note: str | None = None,
    ) -> Iterator[None]:
        """Record all runs created while the block is active, including runs created by other threads.

        Args:
            flow: The flow's content, for when the client only knows the flow's ID.
            flow_file: The file that the flow was read from.
            labels: Labels from the command line.
            note: The note from the command line.
        """
        self._fields = {"flow": flow or None, "flow_file": flow_file, "labels": labels, "note": note}
        try:
            yield
        finally:
            self._fields = None

    @cached_property
    def _history(self) -> History | None:
        try:
            return None if get_history_setting().value == "off" else open_history()
        except Problem as problem:
            warn(f"runs are not recorded in the history: {problem.message}")
            return None

    def record(self, run_id: str | None, **given: Any) -> str | None:
        """Record a run with the labels and note from the command line and return the ID of its history entry."""
        if self._fields is not None and self._history is not None:
            own = {name: value for name, value in self._fields.items() if value is not None}
            about = own | {name: value for name, value in given.items() if value is not None}
            # When resuming a batch, keep its original labels and note unless the command line replaces them.
            about["labels"] = {**(given.get("labels") or {}), **own.get("labels", {})}
            about["note"] = own.get("note", given.get("note"))
            return self._history.record(run_id, **about)
        return None

    def confirm(self, entry_id: str, run_id: str | None) -> None:
        """Add the run ID to an entry that was recorded just before its run was created. If it is None, remove the
        entry.
        """
        if self._history is not None:
            self._history.confirm(entry_id, run_id)

    def annotate(self, run_id: str, note: str | None = None, *, labels: Mapping[str, str] | None = None) -> None:
        """Add labels and a note to a recorded run. Any labels and note from the command line take precedence."""
        if self._fields is not None and self._history is not None:
            named = {**(labels or {}), **(self._fields["labels"] or {})}
            self._history.annotate(run_id, self._fields["note"] or note, labels=named)

    def update(self, run_id: str, *, status: str) -> None:
        """Update the last known status of a run, if the run is recorded."""
        if self._history is not None and (self._history.path is None or self._history.path.exists()):
            self._history.update(run_id, status=status)

    @property
    def is_on(self) -> bool:
        """Whether runs are being recorded. The first access opens the history."""
        return self._history is not None

    def kept_outputs(self, run_id: str, *, server: str | None = None) -> list[dict[str, Any]] | None:
        """Return the step outputs saved in the history for a run, or None if there are none."""
        return open_history().kept_outputs(run_id, server=server)

    def search(self, text: str | None = None, **conditions: Any) -> list[HistoryEntry]:
        """Search the recorded runs. This works even when recording is off."""
        return open_history().search(text, **conditions)

    def get(self, run_id: str) -> HistoryEntry | None:
        """Return the history entry for a run, or None if the run isn't recorded or the history can't be read."""
        from stepflow_client import StepflowClientError

        with suppress(StepflowClientError):
            return None if self._history is None else self._history.get(run_id)
        return None
