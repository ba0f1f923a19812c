"""Parameters that select runs on a command line: RUN, RUN... (where `-` reads IDs from standard input) and QUERY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from ..errors import usage
from ..runs.find_runs import is_run_id_prefix
from ..stdio import read_stdin_text
from .options import Choice, ParameterDecorator, ParsedText, group_options, lazy_complete, option, parse_time_to_iso

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from stepflow_client._command import RunQuery


class _RunIdType(ParsedText):
    """A run ID in the server's format, an ID prefix, or `@N`."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the IDs of the server's newest runs."""
        return lazy_complete("run_ids")(ctx, param, incomplete)


def _parse_id_or_dash(text: str, listing: str) -> str:
    # If the command expects a single run, `-` means the last run (as in `cd -`), not standard input.
    return "@last" if text == "-" else parse_run_id(text, listing=listing)


RUN_ID = _RunIdType(lambda text, _: _parse_id_or_dash(text, "runs list"))
# This type also accepts history entries of runs that the server hasn't confirmed.
_RECORDED = ParsedText(lambda text, _: text if text.startswith("pending:") else _parse_id_or_dash(text, "history list"))


def content_id_type(what: str, hint: str) -> ParsedText:
    """Return the parameter type for the ID of a stored flow or blob. The ID is a digest of its content."""

    def parse_stored_id(text: str, name: str) -> str:
        if re.fullmatch("[0-9a-fA-F]{64}", text) is None:
            raise usage(f"a {what} ID has 64 hexadecimal digits, unlike {text!r}", hint)
        return text

    return ParsedText(parse_stored_id)


def parse_run_id(text: str, where: str = "", listing: str = "runs list") -> str:
    """Parse a run ID, converting a complete ID into the server's format. An ID prefix or `@N` is accepted as well.

    Args:
        text: The text to parse.
        where: Text to put in front of the error message.
        listing: The command that lists run IDs, which the hint suggests.

    Raises:
        Problem: If the text is not a run ID, an ID prefix or `@N`.
    """
    try:
        return str(UUID(text))
    except ValueError:
        lower = text.lower()
        if lower == "@last":
            return lower
        if re.fullmatch(r"@[1-9][0-9]{0,5}", text):
            return text
        if is_run_id_prefix(lower):
            return lower
        hint = f"to list run IDs, use 'stepflow {listing}'; pass at least the first four digits, or @last, @2 ..."
        raise usage(f"{where}a run ID must be a UUID, not {text!r}", hint) from None


run_argument = click.argument("run_id", metavar="RUN", type=RUN_ID)
"""Adds RUN, passed as `run_id`: an ID in the server's format, an ID prefix, or `@N`."""
_recorded = partial(click.argument, "run_id", type=_RECORDED, shell_complete=lazy_complete("recorded_runs"))
recorded_run_argument = _recorded(metavar="RUN")
"""Adds RUN like `run_argument`, except that the shell completes it from the history."""
optional_recorded_run_argument = _recorded(metavar="[RUN]", required=False)
"""Adds an optional RUN. If it is missing, `run_id` is None."""


def status_option(what: str) -> ParameterDecorator:
    """Return a decorator that adds -s/--status, passed as `status`, a tuple.

    Args:
        what: What to call the objects in the help.
    """
    from ..records.runs import STATUSES

    text = f"List only {what} with any of these statuses, separated by commas: {', '.join(STATUSES)}."
    return option("-s, --status STATUS", text, type=_StatusListChoice(STATUSES), default="")


class _StatusListChoice(Choice):
    """A list of statuses, separated by commas, in upper or lower case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the statuses as a tuple without duplicates."""
        if isinstance(value, tuple):
            return value
        words = [word.strip().lower() for word in value.split(",")] if value else []
        single = super().convert
        return tuple(dict.fromkeys(single(word, param, ctx) for word in words))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete the last status in the list."""
        before, comma, last = incomplete.rpartition(",")
        items = super().shell_complete(ctx, param, last)
        for item in items:
            item.value = f"{before}{comma}{item.value}"
        return items


def _parse_run_ids(runs: Sequence[str]) -> list[str]:
    ids: list[str] = []
    for run in runs:
        if run != "-":
            ids.append(parse_run_id(run))
            continue
        for number, line in enumerate(read_stdin_text().splitlines(), start=1):
            if line.strip():
                ids.append(parse_run_id(line.strip(), f"standard input, line {number}: "))
    return list(dict.fromkeys(ids))


runs_argument = group_options(
    "ids",
    _parse_run_ids,
    click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=lazy_complete("run_ids")),
)
"""Adds RUN..., passed as `ids` without duplicates. `-` reads IDs from standard input."""


def describe_runs(ids: Sequence[str]) -> str:
    """Describe runs for use in a sentence, such as `run ID` or `3 runs`."""
    return f"run {ids[0]}" if len(ids) == 1 else f"{len(ids)} runs"


def parse_user_run_query(text: str) -> RunQuery:
    """Parse a query that a user typed, converting its times to ISO 8601.

    Raises:
        Problem: If the value of a field is invalid.
    """
    from stepflow_client._command import RunQuery, parse_run_query

    from ..records.runs import STATUSES

    words, given = parse_run_query(text)
    fields = dict(given)
    for name in ("since", "until"):
        if name in fields:
            fields[name] = parse_time_to_iso(fields[name])
    status, include = fields.get("status", ""), fields.get("include", "sub-runs")
    if status and status not in STATUSES:
        raise usage(f"status:{status} is not a status", f"use {', '.join(STATUSES)}")
    if include != "sub-runs":
        raise usage(f"include:{include} is not supported", "use include:sub-runs")
    return RunQuery(words, fields)


query_argument = click.argument(
    "query", nargs=-1, metavar="[QUERY]...", callback=lambda ctx, param, words: parse_user_run_query(" ".join(words))
)
"""Adds QUERY, passed as `query`."""
