"""What became of something that a server was asked to delete: released servers accept that and delete nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..output.messages import note

__all__ = ["deletion_status", "note_what_is_kept"]


def deletion_status(look: Callable[[], object]) -> str:
    """Return whether it is gone: `deleted` if the server does not find it any more, else `kept`.

    Args:
        look: Asks the server for it.
    """
    from stepflow_client import NotFoundError

    try:
        look()
    except NotFoundError:
        return "deleted"
    return "kept"


def note_what_is_kept(deletions: Iterable[Mapping[str, Any]]) -> None:
    """Print a note if something is still there.

    Args:
        deletions: Records with a `status`.
    """
    if any(each["status"] == "kept" for each in deletions):
        note("the server accepted the request, and deleted nothing")
