"""The outcome of deletions: released servers accept the request but delete nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..output.messages import note

__all__ = ["deletion_status", "note_what_is_kept"]


def deletion_status(look: Callable[[], object]) -> str:
    """Return `deleted` if the server no longer finds the object, otherwise `kept`.

    Args:
        look: Requests the object from the server.
    """
    from stepflow_client import NotFoundError

    try:
        look()
    except NotFoundError:
        return "deleted"
    return "kept"


def note_what_is_kept(deletions: Iterable[Mapping[str, Any]]) -> None:
    """Print a note if something still exists.

    Args:
        deletions: Records with a `status`.
    """
    if any(each["status"] == "kept" for each in deletions):
        note("the server accepted the request, and deleted nothing")
