"""The form of run ids on a command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ..completion.candidates import complete_run_ids
from ..errors import usage
from ..runs.find import is_id_prefix
from .sections import TextType

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _RunId(TextType):
    """A run id as servers write it, its beginning, or `@N`.

    Args:
        listing: The command that lists the ids.
    """

    def __init__(self, listing: str) -> None:
        self._listing = listing

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id."""
        # Where a single run is expected, - is not standard input but the last run, as in `cd -`.
        return "@last" if value == "-" else checked_id(value, listing=self._listing)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the newest runs of the server."""
        return complete_run_ids(ctx, param, incomplete)


class _RecordedRunId(_RunId):
    """Like `_RunId`, or the id of an entry in the history whose run is not confirmed."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id."""
        return value if value.startswith("pending:") else super().convert(value, param, ctx)


RUN_ID, RECORDED_RUN_ID = _RunId("runs list"), _RecordedRunId("history list")


class ContentId(TextType):
    """The id of a stored flow or blob: a digest of its content."""

    def __init__(self, what: str, hint: str) -> None:
        self._what, self._hint = what, hint

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id."""
        if re.fullmatch("[0-9a-fA-F]{64}", value) is None:
            raise usage(f"a {self._what} id has 64 hexadecimal digits, unlike {value!r}", self._hint)
        return value


def checked_id(text: str, where: str = "", listing: str = "runs list") -> str:
    """Return a run id as servers write it, its beginning, or `@N`.

    Args:
        text: The text.
        where: What a message begins with.
        listing: The command that lists the ids, for a hint.

    Raises:
        Problem: If it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        lower = text.lower()
        if lower == "@last":
            return lower
        if re.fullmatch(r"@[1-9][0-9]{0,5}", text):
            return text
        if is_id_prefix(lower):
            return lower
        hint = f"'stepflow {listing}' shows them; the beginning will do, of at least four digits, or @last, @2 ..."
        raise usage(f"{where}a run id is a UUID, not {text!r}", hint) from None
